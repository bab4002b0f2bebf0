from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.schedules.base import SchedulePart
from hpo.train.schedules.milestones import Milestones
from hpo.train.settings import PerLane

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


class Piecewise(SchedulePart):
    """Steps down: the learning rate is multiplied by `decay` at each milestone."""

    reference: ClassVar[str] = "He et al. 2016, arXiv:1512.03385"

    kind: Literal["piecewise"] = "piecewise"
    decay: Annotated[float, PerLane()] = Field(
        0.1, gt=0, le=1, description="share of the learning rate that is left after a milestone"
    )
    milestones: Milestones = Field(
        (0.5, 0.75), description="shares of the steps after the warmup, rounded to whole steps"
    )

    def factor(self, t: torch.Tensor, total: int) -> torch.Tensor:
        ends = torch.tensor([round(share * total) for share in self.milestones], dtype=t.dtype)
        passed = torch.searchsorted(ends, t, right=True)
        return torch.pow(self.decay, passed.to(t.dtype))
