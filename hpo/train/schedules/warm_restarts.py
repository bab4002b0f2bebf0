from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.schedules.base import SchedulePart
from hpo.train.schedules.cycles import ends, positions
from hpo.train.settings import PerLane

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


class WarmRestarts(SchedulePart):
    """Half cosines, at the end of each of which the learning rate jumps back up (SGDR).

    Weights are best at the ends of cycles, where the learning rate is at its floor; with
    `early_stopping.at: cycle_end` these alone are compared and kept.
    """

    reference: ClassVar[str] = "Loshchilov & Hutter 2017, arXiv:1608.03983"

    kind: Literal["warm_restarts"] = "warm_restarts"
    cycles: int = Field(3, ge=1, le=100, description="how many")
    growth: float = Field(
        2.0, ge=1, le=10, description="length of a cycle, as a multiple of the one before"
    )
    floor: Annotated[float, PerLane()] = Field(
        0.0, ge=0, le=1, description="share of the learning rate at the end of a cycle"
    )

    def factor(self, t: torch.Tensor, total: int) -> torch.Tensor:
        share = positions(t, total, self.cycles, self.growth).share
        return self.floor + (1 - self.floor) * (1 + torch.cos(math.pi * share)) / 2

    def cycle_ends(self, total: int) -> list[int]:
        return ends(total, self.cycles, self.growth)
