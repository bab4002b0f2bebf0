from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from hpo.train.schedules.base import SchedulePart
from hpo.train.settings import PerLane

if TYPE_CHECKING:
    import torch


class Linear(SchedulePart):
    """A straight line from the full learning rate to a floor: 1 - (1 - floor) * t / total."""

    reference: ClassVar[str] = "Li et al. 2020, arXiv:1905.04753 (budgeted training)"

    kind: Literal["linear"] = "linear"
    floor: Annotated[float, PerLane()] = Field(
        0.0, ge=0, le=1, description="share of the learning rate that is left at the end"
    )

    def factor(self, t: torch.Tensor, total: int) -> torch.Tensor:
        return 1 - (1 - self.floor) * t / total
