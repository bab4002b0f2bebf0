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


class ColorJitter(AugmentationPart):
    """Another brightness and contrast for each image: x + b + c (x - mean), mean over the image.

    b ~ U(-brightness, brightness) and c ~ U(-contrast, contrast).
    """

    reference: ClassVar[str] = "Howard 2013, arXiv:1312.5402"
    examples: ClassVar[Examples] = "images"

    brightness: Annotated[float, PerLane(neutral=0.0)] = Field(
        0.0, ge=0, le=5, description="largest b, in standard deviations of a channel"
    )
    contrast: Annotated[float, PerLane(neutral=0.0)] = Field(
        0.0, ge=0, le=1, description="largest c: 1 goes from no contrast to twice as much"
    )

    def counts_in_deviations(self) -> bool:
        return self.in_play("brightness")

    def on_batch(
        self, x: torch.Tensor, y: torch.Tensor, context: Context
    ) -> tuple[torch.Tensor, torch.Tensor]:
        def drawn(site: str) -> torch.Tensor:
            unit = context.noise.uniform(f"augmentation.color_jitter.{site}", x.shape[:1], x.dtype)
            return (2 * unit - 1)[:, None]

        flat = x.flatten(1)
        changed = flat
        if self.in_play("contrast"):
            factor = drawn("contrast") * self.contrast
            changed = changed + factor * (flat - flat.mean(1, keepdim=True))
        if self.in_play("brightness"):
            changed = changed + drawn("brightness") * self.brightness
        return changed.view(x.shape), y
