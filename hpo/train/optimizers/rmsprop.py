from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.optimizers.base import OptimizerPart, OptimizerState
from hpo.train.settings import PerLane

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


class Rmsprop(OptimizerPart):
    """Gradients by the root of their running mean square, as in torch.

    G <- alpha G + (1 - alpha) g**2; direction g / (sqrt(G) + eps). With momentum the velocity
    v <- momentum v + g / (sqrt(G) + eps) is the direction.
    """

    reference: ClassVar[str] = "Tieleman & Hinton 2012; batch size: Malladi et al. 2022"

    kind: Literal["rmsprop"] = "rmsprop"
    alpha: Annotated[float, PerLane()] = Field(
        0.99, ge=0, lt=1, description="memory of the mean squared gradient"
    )
    eps: Annotated[float, PerLane()] = Field(
        1e-8, gt=0, le=1, description="added to the root of the mean squared gradient"
    )
    momentum: Annotated[float, PerLane(neutral=0.0)] = Field(
        0.0, ge=0, lt=1, description="share of the velocity kept from step to step"
    )

    def init_state(self, params: torch.Tensor) -> OptimizerState:
        state = {"square": torch.zeros_like(params)}
        return state | ({"velocity": torch.zeros_like(params)} if self.in_play("momentum") else {})

    def direction(
        self, grads: torch.Tensor, state: OptimizerState, t: torch.Tensor
    ) -> tuple[torch.Tensor, OptimizerState]:
        square = torch.lerp(grads * grads, state["square"], self.alpha)
        scaled = grads / (torch.sqrt(square) + self.eps)
        if not self.in_play("momentum"):
            return scaled, {"square": square}
        velocity = self.momentum * state["velocity"] + scaled
        return velocity, {"square": square, "velocity": velocity}

    def scaled(self, kappa: float) -> dict[str, float]:
        """The square root scaling rule for RMSprop; see `Adam.scaled`."""
        return {"alpha": 1 - kappa * (1 - self.alpha), "eps": self.eps / math.sqrt(kappa)}
