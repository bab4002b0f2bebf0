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


class Adadelta(OptimizerPart):
    """Steps in units of the steps before, so that a learning rate of 1 is a natural one.

    G <- rho G + (1 - rho) g**2; direction d = sqrt(X + eps) / sqrt(G + eps) * g;
    X <- rho X + (1 - rho) d**2.
    """

    reference: ClassVar[str] = "Zeiler 2012, arXiv:1212.5701"

    kind: Literal["adadelta"] = "adadelta"
    rho: Annotated[float, PerLane()] = Field(
        0.9, ge=0, lt=1, description="memory of the mean squares of gradients and of steps"
    )
    eps: Annotated[float, PerLane()] = Field(
        1e-6, gt=0, le=1, description="added to both mean squares; sets the size of the first steps"
    )

    def init_state(self, params: torch.Tensor) -> OptimizerState:
        return {"square": torch.zeros_like(params), "steps": torch.zeros_like(params)}

    def direction(
        self, grads: torch.Tensor, state: OptimizerState, t: torch.Tensor
    ) -> tuple[torch.Tensor, OptimizerState]:
        square = torch.lerp(grads * grads, state["square"], self.rho)
        direction = torch.sqrt(state["steps"] + self.eps) / torch.sqrt(square + self.eps) * grads
        steps = torch.lerp(direction * direction, state["steps"], self.rho)
        return direction, {"square": square, "steps": steps}
