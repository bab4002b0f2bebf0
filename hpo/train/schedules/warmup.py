from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.schedules.base import SchedulePart
from hpo.train.settings import PerLane, Settings

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


class Warmup(Settings):
    """A rise of the learning rate over the first W steps, to its full value at the last of them.

    With s = (t + 1) / W at step t: s if it is linear, 100**(s - 1) if it is exponential.
    """

    reference: ClassVar[str] = "Goyal et al. 2017, arXiv:1706.02677 (linear)"

    # Not neutral at 0: the learning rate is tabulated on the host, so no program depends on it.
    fraction: Annotated[float, PerLane()] = Field(
        0.05, ge=0, le=0.9, description="share of all steps that is warmup, rounded to whole steps"
    )
    shape: Literal["linear", "exponential"] = Field(
        "linear", description="by equal steps, or by equal factors from a hundredth on"
    )

    def steps(self, total: int) -> int:
        """How many of all steps are warmup."""
        return round(self.fraction * total)

    def factors(self, schedule: SchedulePart, total: int) -> torch.Tensor:
        """Factors of all steps, float64 [total]: the warmup, then the whole of the schedule.

        Args:
            total: steps in all; at least 1.
        """
        warm = self.steps(total)
        t = torch.arange(total, dtype=torch.float64)
        after = schedule.factor((t - warm).clamp(min=0), max(total - warm, 1))
        share = ((t + 1) / max(warm, 1)).clamp(max=1)
        rise = share if self.shape == "linear" else torch.pow(100.0, share - 1)
        return torch.where(t < warm, rise, after)
