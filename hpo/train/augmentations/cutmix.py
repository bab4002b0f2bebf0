from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.augmentations.base import AugmentationPart, Examples
from hpo.train.augmentations.cutout import covered
from hpo.train.augmentations.mixup import as_targets, lesser_share, mixable
from hpo.train.regularizers.base import Context
from hpo.train.settings import PerLane

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


def cutmix(
    x: torch.Tensor,
    y: torch.Tensor,
    lam: torch.Tensor | float,
    permutation: torch.Tensor,
    centre: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pastes a box of other images into images, and mixes targets by the area that it takes.

    The box, with sides sqrt(1 - lam) of the image's, shows row permutation[i] in row i; what sticks
    out of the image is cut off. Targets are s y[i] + (1 - s) y[permutation[i]], s being the share
    of pixels outside the box.

    Args:
        x: images [B, C, H, W].
        y: probabilities of classes [B, K], or numbers [B, D].
        lam: in [0, 1], [].
        permutation: int64 [B].
        centre: of the box, as shares of height and width, in [0, 1], [2].

    Returns:
        images and targets, in the shapes of `x` and `y`.

    Raises:
        InputError: targets are integers.

    Reference: Yun et al. 2019, CutMix, arXiv:1905.04899.
    """
    targets = mixable(y)
    side = torch.sqrt(1.0 - torch.as_tensor(lam, dtype=x.dtype, device=x.device))
    rows, columns = (
        covered(size, side * size, place * size)[0]
        for size, place in zip(x.shape[-2:], centre.unsqueeze(1), strict=True)
    )
    box = rows[:, None] & columns
    outside = 1.0 - box.to(x.dtype).mean()
    return (
        torch.where(box, x[permutation], x),
        torch.lerp(targets[permutation], targets, outside.to(targets.dtype)),
    )


class Cutmix(AugmentationPart):
    """Pastes a box of another image into each, the same box in a batch; mixes targets by its area.

    `cutmix` with lam ~ Beta(alpha, alpha) in a share of the batches; classes become probabilities.
    """

    reference: ClassVar[str] = "Yun et al. 2019, CutMix, arXiv:1905.04899"
    examples: ClassVar[Examples] = "images"

    probability: Annotated[float, PerLane(neutral=0.0)] = Field(
        ge=0, le=1, description="share of the batches that is mixed; 0.5 or 1 is usual"
    )
    alpha: Annotated[float, PerLane()] = Field(
        1.0, gt=0, le=100, description="of the shares; 1: all alike; above: halves are likelier"
    )

    def active(self) -> bool:
        return self.in_play("probability")

    def on_batch(
        self, x: torch.Tensor, y: torch.Tensor, context: Context
    ) -> tuple[torch.Tensor, torch.Tensor]:
        noise = context.noise
        chosen, u, v, side, *centre = noise.uniform(
            "augmentation.cutmix.box", torch.Size((6,)), x.dtype
        ).unbind()
        # The lesser share or the other one: unlike a mixture, a box is not the same inside out.
        share = lesser_share(self.alpha, u, v)
        lam = torch.where(side < 0.5, share, 1.0 - share)
        lam = torch.where(chosen < self.probability, lam, 1.0)
        partners = noise.permutation("augmentation.cutmix.partners", len(x))
        return cutmix(x, as_targets(y, x, context), lam, partners, torch.stack(centre))
