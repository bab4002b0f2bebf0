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


class Sgd(OptimizerPart):
    """Stochastic gradient descent with momentum, as in torch: v <- momentum * v + g; direction v.

    With Nesterov's momentum the direction is g + momentum * v.
    """

    reference: ClassVar[str] = "Polyak 1964; Sutskever et al. 2013 (Nesterov form)"

    kind: Literal["sgd"] = "sgd"
    momentum: Annotated[float, PerLane(neutral=0.0)] = Field(
        0.9, ge=0, lt=1, description="share of the velocity kept from step to step"
    )
    nesterov: bool = Field(False, description="look ahead along the velocity")

    def init_state(self, params: torch.Tensor) -> OptimizerState:
        return {"velocity": torch.zeros_like(params)} if self.in_play("momentum") else {}

    def direction(
        self, grads: torch.Tensor, state: OptimizerState, t: torch.Tensor
    ) -> tuple[torch.Tensor, OptimizerState]:
        if not self.in_play("momentum"):
            return grads, state
        velocity = grads + self.momentum * state["velocity"]
        if self.nesterov:
            return grads + self.momentum * velocity, {"velocity": velocity}
        return velocity, {"velocity": velocity}
