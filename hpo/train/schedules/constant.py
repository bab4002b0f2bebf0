from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from hpo.lazy import lazy
from hpo.train.schedules.base import SchedulePart

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


class Constant(SchedulePart):
    """The same learning rate at every step."""

    reference: ClassVar[str] = "Robbins & Monro 1951, for the case against it"

    kind: Literal["constant"] = "constant"

    def factor(self, t: torch.Tensor, total: int) -> torch.Tensor:
        return torch.ones_like(t)
