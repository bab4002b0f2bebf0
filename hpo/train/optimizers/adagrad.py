from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.optimizers.base import OptimizerPart, OptimizerState
from hpo.train.settings import PerLane

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


class Adagrad(OptimizerPart):
    """Steps that shrink where gradients have been large.

    G <- G + g**2; direction g / (sqrt(G) + eps).
    What is summed is never forgotten, so the steps fall like 1 / sqrt(t) on their own.
    """

    reference: ClassVar[str] = "Duchi et al. 2011"

    kind: Literal["adagrad"] = "adagrad"
    eps: Annotated[float, PerLane()] = Field(
        1e-10, gt=0, le=1, description="added to the root of the sum of squared gradients"
    )

    def init_state(self, params: torch.Tensor) -> OptimizerState:
        return {"sum": torch.zeros_like(params)}

    def direction(
        self, grads: torch.Tensor, state: OptimizerState, t: torch.Tensor
    ) -> tuple[torch.Tensor, OptimizerState]:
        total = state["sum"] + grads * grads
        return grads / (torch.sqrt(total) + self.eps), {"sum": total}
