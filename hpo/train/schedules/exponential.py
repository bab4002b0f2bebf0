from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.schedules.base import SchedulePart
from hpo.train.settings import PerLane

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


class Exponential(SchedulePart):
    """beta**t, with the beta that leaves a share `final` at the end: final**(t / total)."""

    reference: ClassVar[str] = "Senior et al. 2013"

    kind: Literal["exponential"] = "exponential"
    final: Annotated[float, PerLane()] = Field(
        0.01, gt=0, le=1, description="share of the learning rate that is left at the end"
    )

    def factor(self, t: torch.Tensor, total: int) -> torch.Tensor:
        return torch.pow(self.final, t / total)
