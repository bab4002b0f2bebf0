from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.schedules.base import SchedulePart
from hpo.train.settings import PerLane

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


class OneCycle(SchedulePart):
    """One rise from `start` to the full learning rate, one fall to `final`, both half cosines.

    It has a warmup in itself: warmup.fraction is best 0. As torch's OneCycleLR, but for its cycle
    of the momentum.
    """

    reference: ClassVar[str] = "Smith & Topin 2019, arXiv:1708.07120"

    kind: Literal["one_cycle"] = "one_cycle"
    rise: float = Field(0.3, gt=0, lt=1, description="share of the steps in which the rate rises")
    start: Annotated[float, PerLane()] = Field(
        0.04, gt=0, le=1, description="share of the learning rate at the first step"
    )
    final: Annotated[float, PerLane()] = Field(
        4e-6, ge=0, le=1, description="share of the learning rate at the last step"
    )

    def factor(self, t: torch.Tensor, total: int) -> torch.Tensor:
        last, peak = max(total - 1, 1), max(self.rise * total - 1, 0.0)
        up = _half_cosine(self.start, 1.0, t / max(peak, 1.0))
        down = _half_cosine(1.0, self.final, (t - peak) / max(last - peak, 1.0))
        return torch.where(t < peak, up, down)


def _half_cosine(begin: float, end: float, share: torch.Tensor) -> torch.Tensor:
    """From `begin` at share 0 to `end` at share 1."""
    return end + (begin - end) * (1 + torch.cos(math.pi * share.clamp(0, 1))) / 2
