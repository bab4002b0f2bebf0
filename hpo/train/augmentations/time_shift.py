from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from hpo.train.augmentations.base import AugmentationPart, Examples
from hpo.train.augmentations.shift import move, offsets
from hpo.train.regularizers.base import Context
from hpo.train.settings import PerLane

if TYPE_CHECKING:
    import torch


class TimeShift(AugmentationPart):
    """Moves each series by up to a share of its length; zeros come in, nothing goes round.

    All channels of a series move together. Of a table, the columns must be steps of time.
    """

    reference: ClassVar[str] = "Iwana & Uchida 2021, arXiv:2007.15951 (survey)"
    examples: ClassVar[Examples] = "series"

    share: Annotated[float, PerLane(neutral=0.0)] = Field(
        ge=0, le=0.5, description="largest shift, as a share of the length"
    )

    def on_batch(
        self, x: torch.Tensor, y: torch.Tensor, context: Context
    ) -> tuple[torch.Tensor, torch.Tensor]:
        most = self.share * x.shape[-1]
        return move(x, offsets(most, x, context.noise, "augmentation.time_shift"), -1), y
