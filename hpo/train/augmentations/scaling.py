from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from hpo.train.augmentations.base import AugmentationPart, Examples
from hpo.train.regularizers.base import Context
from hpo.train.settings import PerLane

if TYPE_CHECKING:
    import torch


class Scaling(AugmentationPart):
    """Multiplies each series by a factor of its own from N(1, sd**2), each channel by another."""

    reference: ClassVar[str] = "Um et al. 2017, arXiv:1706.00527"
    examples: ClassVar[Examples] = "series"

    sd: Annotated[float, PerLane(neutral=0.0)] = Field(
        ge=0, le=1, description="standard deviation of the factor; 0.1 is usual"
    )

    def on_batch(
        self, x: torch.Tensor, y: torch.Tensor, context: Context
    ) -> tuple[torch.Tensor, torch.Tensor]:
        draws = context.noise.normal("augmentation.scaling", x.shape[:-1], x.dtype)
        return x * (1 + draws * self.sd).unsqueeze(-1), y
