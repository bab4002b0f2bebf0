from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.augmentations.base import AugmentationPart
from hpo.train.regularizers.base import Context
from hpo.train.settings import PerLane

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


def lesser_share(alpha: torch.Tensor | float, u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """min(s, 1 - s) of s ~ Beta(alpha, alpha), from two draws u, v of [0, 1), without rejection.

    With T = sqrt(2 alpha (u**(-1 / alpha) - 1)) cos(2 pi v), which has Student's distribution of
    2 alpha degrees of freedom (Bailey 1994), s = (1 + T / sqrt(2 alpha + T**2)) / 2 (Devroye 1996,
    Random variate generation in one line of code); written so that a small share loses no digits.

    Args:
        alpha: >= 0, [].
    """
    log = torch.log(u) / alpha  # -infinity for alpha = 0, since u < 1
    power, rest = torch.exp(log), -torch.expm1(log)
    above = torch.cos(2 * math.pi * v).square() * rest
    return power / (power + above) / (2 * (1 + torch.sqrt(above / (power + above))))


class Mixup(AugmentationPart):
    """Mixes the batch with itself in another order: s x_i + (1 - s) x_j, and the targets alike.

    One s ~ Beta(alpha, alpha) a batch. Classes become probabilities, so that the loss is
    s loss(y_i) + (1 - s) loss(y_j); numbers are mixed themselves. Row i keeps the larger share: an
    order is as likely as its inverse, so the mixed batch is distributed as with s as it is drawn.
    """

    reference: ClassVar[str] = "Zhang et al. 2018, arXiv:1710.09412"

    alpha: Annotated[float, PerLane(neutral=0.0)] = Field(
        ge=0, le=100, description="0: no mixing; 1: all shares alike; above: halves are likelier"
    )

    def on_batch(
        self, x: torch.Tensor, y: torch.Tensor, context: Context
    ) -> tuple[torch.Tensor, torch.Tensor]:
        noise = context.noise
        u, v = noise.uniform("augmentation.mixup.share", torch.Size((2,)), x.dtype)
        share = lesser_share(self.alpha, u, v)
        partners = noise.permutation("augmentation.mixup.partners", len(x))
        if not y.is_floating_point():
            classes = torch.arange(context.layout.outputs, device=y.device)
            y = (y[:, None] == classes).to(x.dtype)
        return torch.lerp(x, x[partners], share), torch.lerp(y, y[partners], share)
