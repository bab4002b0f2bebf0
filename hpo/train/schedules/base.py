"""What a learning rate schedule is: a formula over all steps at once."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, NamedTuple

from hpo.train.settings import Settings

if TYPE_CHECKING:
    import torch


class Stage(NamedTuple):
    """Epochs in a row that have one batch size.

    Args:
        epochs: how many, at least 1.
        batch_size: rows in each of their steps.
        factor: of the learning rate in all of their steps, in (0, 1].
    """

    epochs: int
    batch_size: int
    factor: float


class SchedulePart(Settings):
    """Says by how much the learning rate is scaled at each step after the warmup."""

    @abstractmethod
    def factor(self, t: torch.Tensor, total: int) -> torch.Tensor:
        """Factors in [0, 1], float64 [T].

        Args:
            t: step indices in [0, total], float64 [T].
            total: steps in all, without the warmup; at least 1.
        """

    def cycle_ends(self, total: int) -> list[int]:
        """How many of the steps after the warmup are done when each cycle ends, in order.

        Args:
            total: as for `factor`.

        Returns:
            an empty list if the schedule has no cycles.
        """
        return []

    def stages(self, batch_size: int, epochs: int) -> list[Stage]:
        """The batch sizes of all epochs, in order; one stage unless the batch is scheduled, too.

        Args:
            batch_size: the config's own.
            epochs: of the whole training, the warmup included.

        Raises:
            ValueError: the schedule cannot be kept with these.
        """
        return [Stage(epochs, batch_size, 1.0)]
