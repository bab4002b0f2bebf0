from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.schedules.base import SchedulePart, Stage
from hpo.train.schedules.milestones import Milestones

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


class GrowingBatch(SchedulePart):
    """A larger batch in place of a smaller learning rate: fewer steps for the same epochs.

    After k milestones batch_size * growth**k rows are due. As many as `max_batch_size` are taken,
    and the learning rate is divided by what is missing. The noise scale learning_rate / batch size
    so falls by `growth` at each milestone, as where a piecewise schedule decays by 1 / growth.
    """

    reference: ClassVar[str] = "Smith et al. 2018, arXiv:1711.00489"

    kind: Literal["growing_batch"] = "growing_batch"
    growth: float = Field(
        2.0, ge=1, le=100, description="factor of the batch size at each milestone"
    )
    milestones: Milestones = Field(
        (0.3, 0.6, 0.8), description="shares of all epochs, rounded to whole epochs"
    )
    max_batch_size: int = Field(
        ge=1, le=2**20, description="most rows in a step: what memory, and the data, allow"
    )

    def factor(self, t: torch.Tensor, total: int) -> torch.Tensor:
        return torch.ones_like(t)

    def stages(self, batch_size: int, epochs: int) -> list[Stage]:
        if batch_size > self.max_batch_size:
            raise ValueError(
                f"batch_lr.batch_size <= schedule.max_batch_size must hold, got {batch_size} and "
                f"{self.max_batch_size}; lower the one or raise the other"
            )
        ends = [0, *(round(share * epochs) for share in self.milestones), epochs]
        if any(start >= end for start, end in pairwise(ends)):
            raise ValueError(
                f"every milestone needs epochs before and after it, schedule.milestones "
                f"{list(self.milestones)} of {epochs} epochs are after epochs {ends[1:-1]}; train "
                "for more epochs, or take fewer milestones"
            )
        stages = []
        for passed, (start, end) in enumerate(pairwise(ends)):
            due = batch_size * self.growth**passed
            # A part of a row cannot be taken, so the learning rate makes up for it as well.
            rows = int(min(due, self.max_batch_size))
            stages.append(Stage(end - start, rows, rows / due))
        return stages
