"""What a learning rate schedule is: a formula over all steps at once."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from hpo.train.settings import Settings

if TYPE_CHECKING:
    import torch


class SchedulePart(Settings):
    """Says by how much the learning rate is scaled at each step after the warmup."""

    @abstractmethod
    def factor(self, t: torch.Tensor, total: int) -> torch.Tensor:
        """Factors in [0, 1], float64 [T].

        Args:
            t: step indices in [0, total], float64 [T].
            total: steps in all, without the warmup; at least 1.
        """
