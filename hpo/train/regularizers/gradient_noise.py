from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.regularizers.base import Context, Regularizer
from hpo.train.settings import PerLane

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


def gradient_noise_sd(
    t: torch.Tensor, eta: torch.Tensor | float, gamma: torch.Tensor | float = 0.55
) -> torch.Tensor:
    """The standard deviation of annealed gradient noise: sqrt(eta / (1 + t)**gamma).

    Args:
        t: steps done before this one, a float [].
        eta: variance at the first step, >= 0; 0.01, 0.3 and 1 in the paper.
        gamma: >= 0; 0: the noise stays as it is.

    Returns:
        [].

    Reference: Neelakantan et al. 2015, arXiv:1511.06807.
    """
    return torch.sqrt(eta / (1.0 + t) ** gamma)


class GradientNoise(Regularizer):
    """Adds N(0, sd**2 / (1 + t)**gamma) to the gradient of step t, that of biases and gains, too.

    It is no penalty, so nothing is exempt. `clipping` bounds the gradient with its noise: where the
    one cuts off much of the other, set `clipping.norm` higher.
    """

    reference: ClassVar[str] = "Neelakantan et al. 2015, arXiv:1511.06807"

    sd: Annotated[float, PerLane(neutral=0.0)] = Field(
        ge=0, le=10, description="of the first step; its square is the paper's eta: 0.1, 0.55 or 1"
    )
    gamma: Annotated[float, PerLane()] = Field(
        0.55, ge=0, le=2, description="how fast the variance falls; 0: not at all"
    )

    def active(self) -> bool:
        return self.in_play("sd")

    def on_grads(self, grads: torch.Tensor, params: torch.Tensor, context: Context) -> torch.Tensor:
        noise = context.noise.normal("regularization.gradient_noise", grads.shape, grads.dtype)
        return grads + noise * gradient_noise_sd(context.t, self.sd**2, self.gamma)
