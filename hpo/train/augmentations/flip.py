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


class Flip(AugmentationPart):
    """Turns images left to right. Not for what has a direction, as digits and letters have."""

    reference: ClassVar[str] = "Krizhevsky et al. 2012, section 4.1"
    examples: ClassVar[Examples] = "images"

    probability: Annotated[float, PerLane(neutral=0.0)] = Field(
        ge=0, le=1, description="share of the images that is turned; 0.5 is usual"
    )

    def on_batch(
        self, x: torch.Tensor, y: torch.Tensor, context: Context
    ) -> tuple[torch.Tensor, torch.Tensor]:
        unit = context.noise.uniform("augmentation.flip", x.shape[:1], x.dtype)
        turned = (unit < self.probability).view(-1, *(1,) * (x.ndim - 1))
        return torch.where(turned, x.flip(-1), x), y
