"""A trial whose config is trained with several seeds: one lane for each."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hpo.train.config import TrainConfig
from hpo.train.drivers.lane import Lane
from hpo.train.noise import derive
from hpo.train.problem import Problem
from hpo.train.task import ERROR
from hpo.trainable import Trial


class Seeds:
    """A trial in a stack, with its lanes; most have one.

    Args:
        problem: the trial's own.
    """

    def __init__(self, problem: Problem, trial: Trial) -> None:
        self.trial = trial
        self.ensemble = problem.config.ensemble != "off"
        self._every_seconds = problem.config.checkpoint_seconds
        self._saved = time.monotonic()
        self.lanes = [
            Lane(problem, seed, folder) for seed, folder in seeds_of(problem.config, trial)
        ]

    @property
    def training(self) -> list[Lane]:
        """Lanes that have not ended."""
        return [lane for lane in self.lanes if lane.result is None]

    @property
    def epoch(self) -> int:
        """How far the trial is: where some lanes have ended, as far as the others."""
        if self.training:
            return min(lane.epoch for lane in self.training)
        return max(lane.epoch for lane in self.lanes)

    @property
    def behind(self) -> list[Lane]:
        """Lanes that are to train next: all, if they are equally far."""
        return [lane for lane in self.training if lane.epoch == self.epoch]

    @property
    def is_even(self) -> bool:
        """Whether its lanes are equally far. A worker that died may have saved one and not another;
        then those ahead wait, and nothing is reported meanwhile."""
        return self.behind == self.training

    def is_due(self) -> bool:
        """Whether it is time to save its lanes, all of them together; if so it counts from now."""
        due = time.monotonic() - self._saved >= self._every_seconds
        if due:
            self._saved = time.monotonic()
        return due

    @property
    def metrics(self) -> dict[str, float]:
        """What its lanes have reached."""
        return combined([lane.metrics for lane in self.lanes])

    @property
    def result(self) -> dict[str, float] | None:
        """What it came to, once all of its lanes have ended."""
        results = [lane.result for lane in self.lanes if lane.result is not None]
        return combined(results) if len(results) == len(self.lanes) else None

    def leave_together(self) -> None:
        """Leaves the weights of all lanes, once they have ended, in one file."""
        files = [lane.files for lane in self.lanes]
        files[0].join(files)


def seeds_of(config: TrainConfig, trial: Trial) -> Iterator[tuple[int, Path]]:
    """The seed of each lane, and the folder of its checkpoints. The first has the trial's own."""
    yield trial.seed, trial.checkpoint_dir
    for repeat in range(1, config.repeats):
        folder = trial.checkpoint_dir / f"repeat-{repeat}"
        folder.mkdir(exist_ok=True)
        yield derive(trial.seed, "repeat", repeat), folder


def combined(metrics: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means over lanes, each with its standard error beside it if there are several lanes."""
    found: dict[str, float] = {}
    for name in metrics[0]:
        values = [each[name] for each in metrics]
        found[name] = statistics.fmean(values)
        if len(values) > 1:
            finite = all(map(math.isfinite, values))
            found[name + ERROR] = (
                statistics.stdev(values) / math.sqrt(len(values)) if finite else math.nan
            )
    return found
