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


class NaturalExponential(SchedulePart):
    """exp(-rate * t / total): exponential decay by how often the rate falls to 1 / e."""

    reference: ClassVar[str] = "Senior et al. 2013"

    kind: Literal["natural_exponential"] = "natural_exponential"
    rate: Annotated[float, PerLane()] = Field(
        4.0, ge=0, le=50, description="e-foldings over the steps after the warmup; 0: constant"
    )

    def factor(self, t: torch.Tensor, total: int) -> torch.Tensor:
        return torch.exp(-self.rate * t / total)
