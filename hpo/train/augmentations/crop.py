from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from hpo.errors import InputError
from hpo.train.augmentations.base import AugmentationPart, Examples
from hpo.train.augmentations.shift import move, offsets
from hpo.train.layout import Layout
from hpo.train.regularizers.base import Context

if TYPE_CHECKING:
    import torch


class Crop(AugmentationPart):
    """A random crop, as large as the image, of the image with `padding` pixels of 0 around it.

    Each of the (2 * padding + 1)**2 crops is as likely. What `shift` does, counted in pixels.
    """

    reference: ClassVar[str] = "He et al. 2016, arXiv:1512.03385 (4 pixels for images of 32 x 32)"
    examples: ClassVar[Examples] = "images"

    padding: int = Field(ge=1, le=1024, description="pixels on each side, fewer than the image has")

    def check(self, name: str, inputs: tuple[int, ...], layout: Layout) -> None:
        super().check(name, inputs, layout)
        if self.padding >= min(inputs[1:]):
            raise InputError(
                f"{name}: padding must be less than the image's sides, or some crops "
                f"are empty, got {self.padding} for images of {inputs[1]}x{inputs[2]}",
                f"give at most {min(inputs[1:]) - 1}; an eighth of the side is usual",
            )

    def on_batch(
        self, x: torch.Tensor, y: torch.Tensor, context: Context
    ) -> tuple[torch.Tensor, torch.Tensor]:
        for dim in (-2, -1):
            x = move(x, offsets(self.padding, x, context.noise, f"augmentation.crop.{dim}"), dim)
        return x, y
