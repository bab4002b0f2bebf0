"""What is known of every step before the first one: its batch size and its learning rate."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from typing import TYPE_CHECKING

from hpo.lazy import lazy
from hpo.train.config import TrainConfig
from hpo.train.early_stopping import EarlyStopping

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


@dataclass(frozen=True, slots=True)
class Timetable:
    """Epochs and steps of a trial.

    Args:
        batch_sizes: of each epoch; its last batch may be smaller.
        starts: steps done before each epoch, and in all.
        rates: learning rates, float64 [T].
        cycle_ends: epochs done by the end of each cycle of the learning rate, in order; of a cycle
            that ends within an epoch, those before it.
    """

    batch_sizes: list[int]
    starts: list[int]
    rates: torch.Tensor
    cycle_ends: list[int]

    @classmethod
    def of(cls, config: TrainConfig, rows: int) -> Timetable:
        """For a training split of so many rows, at least 1.

        The warmup is a share of the steps that there are, however many fit into an epoch.
        """
        batch_sizes, factors, steps = [], [], []
        for stage in config.stages():
            batch_sizes += [stage.batch_size] * stage.epochs
            factors += [stage.factor] * stage.epochs
            steps += [-(-rows // stage.batch_size)] * stage.epochs
        parts = [part for part in config.regularizers().values() if part.active()]
        for epoch in range(len(factors)):
            factors[epoch] *= prod(part.rate_factor(epoch, len(factors)) for part in parts)
        starts = [0, *accumulate(steps)]
        warm = config.warmup.steps(starts[-1])
        ends = config.schedule.cycle_ends(max(starts[-1] - warm, 1))
        # One that ends before the first epoch does has no weights that could be kept.
        epochs = {bisect_right(starts, warm + end) - 1 for end in ends} - {0}
        of_epochs = torch.tensor(factors, dtype=torch.float64)
        of_steps = config.warmup.factors(config.schedule, starts[-1])
        rates = of_steps * of_epochs.repeat_interleave(torch.tensor(steps))
        rates = rates * config.batch_lr.learning_rate
        return cls(batch_sizes, starts, rates, sorted(epochs))

    def compared(self, stopping: EarlyStopping | None) -> Sequence[int]:
        """Epochs, counted from 1, whose weights early stopping compares."""
        if stopping is not None and stopping.at == "cycle_end":
            return self.cycle_ends
        return range(1, len(self.batch_sizes) + 1)

    def steps(self, epoch: int) -> slice:
        """The steps of an epoch, from 0."""
        return slice(self.starts[epoch], self.starts[epoch + 1])
