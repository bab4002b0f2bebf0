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


class Adam(OptimizerPart):
    """Running means of gradient and squared gradient, with bias correction.

    With `regularization.l2` the penalty is part of the gradient and is scaled with it.

    m <- beta1 m + (1 - beta1) g; v <- beta2 v + (1 - beta2) g**2;
    direction = m / (1 - beta1**t) / (sqrt(v / (1 - beta2**t)) + eps), with t from 1.
    """

    reference: ClassVar[str] = "Kingma & Ba 2015, arXiv:1412.6980"

    kind: Literal["adam"] = "adam"
    beta1: Annotated[float, PerLane()] = Field(
        0.9, ge=0, lt=1, description="memory of the mean gradient"
    )
    beta2: Annotated[float, PerLane()] = Field(
        0.999, ge=0, lt=1, description="memory of the mean squared gradient"
    )
    eps: Annotated[float, PerLane()] = Field(
        1e-8, gt=0, le=1, description="added to the root of the mean squared gradient"
    )

    def init_state(self, params: torch.Tensor) -> OptimizerState:
        return {"mean": torch.zeros_like(params), "square": torch.zeros_like(params)}

    def direction(
        self, grads: torch.Tensor, state: OptimizerState, t: torch.Tensor
    ) -> tuple[torch.Tensor, OptimizerState]:
        mean = torch.lerp(grads, state["mean"], self.beta1)
        square = torch.lerp(grads * grads, state["square"], self.beta2)
        denominator = torch.sqrt(square / one_minus_power(self.beta2, t + 1)) + self.eps
        direction = mean / one_minus_power(self.beta1, t + 1) / denominator
        return direction, {"mean": mean, "square": square}

    def scaled(self, kappa: float) -> dict[str, float]:
        """The square root scaling rule of Malladi et al. 2022, arXiv:2205.10287.

        A batch kappa times as large does the work of kappa steps, so the running means forget
        kappa times as fast: 1 - beta -> kappa * (1 - beta). The noise in a gradient, to which eps
        is compared, shrinks by sqrt(kappa).
        """
        return {
            "beta1": 1 - kappa * (1 - self.beta1),
            "beta2": 1 - kappa * (1 - self.beta2),
            "eps": self.eps / math.sqrt(kappa),
        }


def one_minus_power(beta: torch.Tensor | float, t: torch.Tensor) -> torch.Tensor:
    """1 - beta**t without the cancellation that costs float32 half its digits at small t."""
    return -torch.expm1(t * torch.log(torch.as_tensor(beta, dtype=t.dtype, device=t.device)))
