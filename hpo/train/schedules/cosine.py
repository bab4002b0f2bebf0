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


class Cosine(SchedulePart):
    """Half a cosine from the full learning rate to a floor.

    floor + (1 - floor) * (1 + cos(pi * t / total)) / 2
    """

    reference: ClassVar[str] = "Loshchilov & Hutter 2017, arXiv:1608.03983"

    kind: Literal["cosine"] = "cosine"
    floor: Annotated[float, PerLane()] = Field(
        0.0, ge=0, le=1, description="share of the learning rate that is left at the end"
    )

    def factor(self, t: torch.Tensor, total: int) -> torch.Tensor:
        return self.floor + (1 - self.floor) * (1 + torch.cos(math.pi * t / total)) / 2
