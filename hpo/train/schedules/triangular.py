from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from hpo.train.schedules.base import SchedulePart
from hpo.train.schedules.cycles import ends, positions
from hpo.train.settings import PerLane

if TYPE_CHECKING:
    import torch


class Triangular(SchedulePart):
    """Straight up from a floor and straight down again, cycle after cycle.

    A decay of 0.5 halves the height of each cycle above the floor ("triangular2").
    """

    reference: ClassVar[str] = "Smith 2017, arXiv:1506.01186"

    kind: Literal["triangular"] = "triangular"
    cycles: int = Field(3, ge=1, le=100, description="how many, of equal length")
    floor: Annotated[float, PerLane()] = Field(
        0.1, gt=0, le=1, description="share of the learning rate at both ends of a cycle"
    )
    decay: Annotated[float, PerLane()] = Field(
        1.0, gt=0, le=1, description="height of a cycle, as a share of the one before"
    )

    def factor(self, t: torch.Tensor, total: int) -> torch.Tensor:
        at = positions(t, total, self.cycles, growth=1.0)
        height = (1 - self.floor) * self.decay ** at.cycle.to(t.dtype)
        return self.floor + height * (1 - (2 * at.share - 1).abs())

    def cycle_ends(self, total: int) -> list[int]:
        return ends(total, self.cycles, growth=1.0)
