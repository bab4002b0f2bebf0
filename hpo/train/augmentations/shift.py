from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.augmentations.base import AugmentationPart, Examples
from hpo.train.noise import Noise
from hpo.train.regularizers.base import Context
from hpo.train.settings import PerLane

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


def move(x: torch.Tensor, offsets: torch.Tensor, dim: int) -> torch.Tensor:
    """Each example by so many places along one dimension, with zeros where nothing was.

    Args:
        x: [B, ...].
        offsets: to higher indices where positive, int64 [B].
        dim: counted from the end: -1 for the last.
    """
    size = x.shape[dim]
    sources = torch.arange(size, device=x.device) - offsets[:, None]
    inside = (sources >= 0) & (sources < size)
    shape = (len(x), *(size if d == x.ndim + dim else 1 for d in range(1, x.ndim)))
    moved = torch.take_along_dim(x, sources.clamp(0, size - 1).view(shape), dim)
    return moved * inside.view(shape)


def offsets(most: torch.Tensor | float, x: torch.Tensor, noise: Noise, site: str) -> torch.Tensor:
    """Whole offsets for a batch `x` [B, ...], int64 [B]; each from -most to most is as likely.

    Where `most` is not whole, the next larger offset has its fraction of that probability, so that
    even a tenth of a pixel moves some images.
    """
    unit = 2 * noise.uniform(site, x.shape[:1], x.dtype) - 1
    return torch.floor(unit * (most + 0.5) + 0.5).to(torch.int64)


class Shift(AugmentationPart):
    """Moves each image by up to a share of its height and of its width; zeros come in."""

    reference: ClassVar[str] = "Simard et al. 2003; Krizhevsky et al. 2012, section 4.1"
    examples: ClassVar[Examples] = "images"

    share: Annotated[float, PerLane(neutral=0.0)] = Field(
        ge=0, le=0.5, description="largest shift, as a share of height and width"
    )

    def on_batch(
        self, x: torch.Tensor, y: torch.Tensor, context: Context
    ) -> tuple[torch.Tensor, torch.Tensor]:
        for dim in (-2, -1):
            most = self.share * x.shape[dim]
            x = move(x, offsets(most, x, context.noise, f"augmentation.shift.{dim}"), dim)
        return x, y
