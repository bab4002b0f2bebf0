from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from hpo.train.augmentations.base import AugmentationPart
from hpo.train.regularizers.base import Context
from hpo.train.settings import PerLane

if TYPE_CHECKING:
    import torch


class Noise(AugmentationPart):
    """Adds N(0, sd**2) to every input.

    For a linear model and squared loss this is a penalty of sd**2 |w|**2 in the mean.
    """

    reference: ClassVar[str] = "Bishop 1995, Neural Computation 7 (as a penalty)"

    sd: Annotated[float, PerLane(neutral=0.0)] = Field(
        ge=0, le=10, description="in standard deviations of a feature; of a channel for images"
    )

    def counts_in_deviations(self) -> bool:
        return self.in_play("sd")

    def on_batch(
        self, x: torch.Tensor, y: torch.Tensor, context: Context
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return x + context.noise.normal("augmentation.noise", x.shape, x.dtype) * self.sd, y
