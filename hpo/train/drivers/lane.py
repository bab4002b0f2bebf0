"""What a driver of several trials knows of each of its lanes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hpo.lazy import lazy
from hpo.train.drivers.stack import Stack
from hpo.train.epochs import Epochs
from hpo.train.noise import step_keys
from hpo.train.problem import Problem
from hpo.train.progress import Kept, Progress, TrialFiles
from hpo.train.timetable import Timetable

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


class Lane:
    """One seed of a trial in a stack: all of it that is not a tensor.

    Args:
        problem: the trial's own.
        seed: its own.
        folder: of its checkpoints.

    Attributes:
        result: what it came to; `None` while it trains.
    """

    def __init__(self, problem: Problem, seed: int, folder: Path) -> None:
        self.problem = problem
        self.seed = seed
        self.files = TrialFiles(folder, problem, seed)
        self.epoch = 0
        self.result: Mapping[str, float] | None = None
        self.metrics: Mapping[str, float] = {}
        self._kept_epoch = 0
        self._kept_metrics: Mapping[str, float] = {}
        self._timetable = Timetable.of(problem.config, problem.epoch_rows)
        self._epochs = Epochs(problem, self._timetable)
        self._keys = step_keys(seed, torch.arange(len(self._timetable.rates)))

    @property
    def is_over(self) -> bool:
        """Whether no epoch is left to run."""
        return self._epochs.are_over(self.epoch, self._kept_epoch)

    @property
    def batch_size(self) -> int:
        """Of the epoch that comes next."""
        return self._timetable.batch_sizes[self.epoch]

    @property
    def steps(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Number, learning rate and key of the noise of each step in that epoch, all [S]."""
        steps = self._timetable.steps(self.epoch)
        numbers = torch.arange(steps.start, steps.stop)
        return numbers, self._timetable.rates[steps], self._keys[steps]

    def resume(self) -> Progress | None:
        """Takes it to where it stood when it was last saved, or had ended; its tensors, if any."""
        if finished := self.files.finished():
            self.epoch, self.metrics, self.result = finished
            return None
        progress = self.files.resume()
        if progress is None:
            return None
        assert progress.kept is not None
        self.epoch, self.metrics = progress.epoch, progress.metrics
        self._kept_epoch, self._kept_metrics = progress.kept.epoch, progress.kept.metrics
        return progress

    def reached(self, metrics: Mapping[str, float]) -> bool:
        """Notes what one more epoch led to; whether its weights are those to keep."""
        self.epoch, self.metrics = self.epoch + 1, metrics
        kept = self._kept_epoch, self._kept_metrics
        keep = self._epochs.keeps(self.epoch, metrics, *kept)
        if keep:
            self._kept_epoch, self._kept_metrics = self.epoch, metrics
        return keep

    def save(self, own: Stack) -> None:
        self.files.save(self._progress(own))

    def finish(self, own: Stack) -> None:
        """Leaves the kept weights."""
        progress = self._progress(own)
        self.files.finish(progress)
        self.result = progress.result()

    def _progress(self, own: Stack) -> Progress:
        """Where it stands, as a trial alone has it.

        Args:
            own: its tensors, without the axis of lanes.
        """
        # What is kept is mostly what there is, and need not be written twice.
        model = own.state["model"]
        same = (
            self._kept_epoch == self.epoch
            and torch.equal(own.kept, own.params)
            and all(torch.equal(own.kept_state[name], value) for name, value in model.items())
        )
        params, state = (own.params, model) if same else (own.kept, own.kept_state)
        kept = Kept(params, state, self._kept_epoch, self._kept_metrics)
        return Progress(self.epoch, own.params, own.state, self.metrics, kept)
