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


class Lion(OptimizerPart):
    """The sign of a mix of momentum and gradient: every weight moves by the learning rate.

    direction sign(beta1 m + (1 - beta1) g); m <- beta2 m + (1 - beta2) g. Learning rates are three
    to ten times smaller than Adam's, decays as much larger.
    """

    reference: ClassVar[str] = "Chen et al. 2023, arXiv:2302.06675"

    kind: Literal["lion"] = "lion"
    beta1: Annotated[float, PerLane()] = Field(
        0.9, ge=0, lt=1, description="share of the momentum in the direction"
    )
    beta2: Annotated[float, PerLane()] = Field(
        0.99, ge=0, lt=1, description="memory of the momentum"
    )

    def init_state(self, params: torch.Tensor) -> OptimizerState:
        return {"mean": torch.zeros_like(params)}

    def direction(
        self, grads: torch.Tensor, state: OptimizerState, t: torch.Tensor
    ) -> tuple[torch.Tensor, OptimizerState]:
        direction = torch.sign(torch.lerp(grads, state["mean"], self.beta1))
        return direction, {"mean": torch.lerp(grads, state["mean"], self.beta2)}
