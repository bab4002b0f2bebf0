from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from hpo.errors import InputError
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


def mixable(y: torch.Tensor) -> torch.Tensor:
    """Targets that can be mixed, as they are.

    Raises:
        InputError: they are integers.
    """
    if not y.is_floating_point():
        raise InputError(
            f"targets to be mixed must be numbers or probabilities, got {y.dtype}",
            "give classes as probabilities: torch.nn.functional.one_hot(y, K).float()",
        )
    return y


def mixup(
    x: torch.Tensor, y: torch.Tensor, lam: torch.Tensor | float, permutation: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows and targets mixed with those in another order: lam x + (1 - lam) x[permutation].

    For cross-entropy, which is linear in the targets, the loss of the mixture is
    lam loss(y) + (1 - lam) loss(y[permutation]).

    Args:
        x: numbers [B, ...].
        y: probabilities of classes [B, K], or numbers [B, D].
        lam: in [0, 1], []; ~ Beta(alpha, alpha), one for a batch. 1 leaves all as it is.
        permutation: int64 [B].

    Returns:
        rows and targets, in the shapes of `x` and `y`.

    Raises:
        InputError: targets are integers.

    Reference: Zhang et al. 2018, arXiv:1710.09412.
    """
    targets = mixable(y)
    share = torch.as_tensor(lam, dtype=x.dtype, device=x.device)
    return (
        torch.lerp(x[permutation], x, share),
        torch.lerp(targets[permutation], targets, share.to(targets.dtype)),
    )


def as_targets(y: torch.Tensor, x: torch.Tensor, context: Context) -> torch.Tensor:
    """Classes as probabilities [B, K] in the precision of `x`; numbers and probabilities as they
    are."""
    if y.is_floating_point():
        return y
    classes = torch.arange(context.layout.outputs, device=y.device)
    return (y[:, None] == classes).to(x.dtype)


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
        lam = 1.0 - lesser_share(self.alpha, u, v)
        partners = noise.permutation("augmentation.mixup.partners", len(x))
        return mixup(x, as_targets(y, x, context), lam, partners)
