from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.augmentations.base import AugmentationPart, Examples
from hpo.train.regularizers.base import Context
from hpo.train.settings import PerLane

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


def covered(size: int, side: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """Which of `size` pixels have their middle within side / 2 of a centre, bool [B, size].

    Args:
        side: in pixels, not negative, [].
        centres: from 0 to size, [B].
    """
    middles = torch.arange(size, dtype=centres.dtype, device=centres.device) + 0.5
    return (middles - centres[:, None]).abs() < side / 2


class Cutout(AugmentationPart):
    """Sets a square of each image to 0, its centre anywhere in the image: it may stick out."""

    reference: ClassVar[str] = "DeVries & Taylor 2017, arXiv:1708.04552"
    examples: ClassVar[Examples] = "images"

    side: Annotated[float, PerLane(neutral=0.0)] = Field(
        ge=0, le=1, description="side of the square, as a share of the image's shorter side"
    )

    def on_batch(
        self, x: torch.Tensor, y: torch.Tensor, context: Context
    ) -> tuple[torch.Tensor, torch.Tensor]:
        height, width = x.shape[-2:]
        side = torch.as_tensor(self.side, dtype=x.dtype, device=x.device) * min(height, width)
        rows, columns = (
            covered(n, side, n * context.noise.uniform(site, x.shape[:1], x.dtype))
            for n, site in ((height, "augmentation.cutout.y"), (width, "augmentation.cutout.x"))
        )
        return x * ~(rows[:, None, :, None] & columns[:, None, None, :]), y
