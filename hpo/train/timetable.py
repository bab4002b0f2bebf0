"""What is known of every step before the first one: its batch size and its learning rate."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from hpo.lazy import lazy
from hpo.train.config import TrainConfig

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
    """

    batch_sizes: list[int]
    starts: list[int]
    rates: torch.Tensor

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
        starts = [0, *accumulate(steps)]
        of_epochs = torch.tensor(factors, dtype=torch.float64)
        of_steps = config.warmup.factors(config.schedule, starts[-1])
        rates = of_steps * of_epochs.repeat_interleave(torch.tensor(steps))
        return cls(batch_sizes, starts, rates * config.batch_lr.learning_rate)

    def steps(self, epoch: int) -> slice:
        """The steps of an epoch, from 0."""
        return slice(self.starts[epoch], self.starts[epoch + 1])
