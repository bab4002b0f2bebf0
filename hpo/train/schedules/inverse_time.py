from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from hpo.train.schedules.base import SchedulePart
from hpo.train.settings import PerLane

if TYPE_CHECKING:
    import torch


class InverseTime(SchedulePart):
    """1 / (1 + beta t), with the beta that leaves a share `final` at the end.

    beta = (1 / final - 1) / total: given by its end, the decay moves with the length of training.
    """

    reference: ClassVar[str] = "Robbins & Monro 1951"

    kind: Literal["inverse_time"] = "inverse_time"
    final: Annotated[float, PerLane()] = Field(
        0.1, gt=0, le=1, description="share of the learning rate that is left at the end"
    )

    def factor(self, t: torch.Tensor, total: int) -> torch.Tensor:
        return 1 / (1 + (1 / self.final - 1) * t / total)
