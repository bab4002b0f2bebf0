"""When a trial is done, and which of its weights it keeps."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping

from hpo.train.problem import Problem
from hpo.train.timetable import Timetable


class Epochs:
    """What the epochs of one trial lead to."""

    def __init__(self, problem: Problem, timetable: Timetable) -> None:
        self._last = problem.refit or problem.config.epochs
        # A refit has nothing to compare: it trains for as long as it is told.
        self._stopping = None if problem.refit else problem.config.early_stopping
        self._compared = timetable.compared(self._stopping)

    def are_over(self, epoch: int, kept: int) -> bool:
        """Whether all are run, or early stopping says enough.

        Args:
            epoch: how many are run.
            kept: the one that the kept weights are from; 0 before the first.
        """
        if self._stopping and kept:
            since = bisect_right(self._compared, epoch) - bisect_right(self._compared, kept)
            if since >= self._stopping.patience:
                return True
        return epoch >= self._last

    def keeps(
        self, epoch: int, metrics: Mapping[str, float], kept: int, best: Mapping[str, float]
    ) -> bool:
        """Whether the weights of an epoch take the place of those kept so far.

        Args:
            epoch, metrics: the one that was just run, and what it led to.
            kept, best: the same of the weights kept so far; 0 before the first.
        """
        if self._stopping is None or kept not in self._compared:
            return True  # nothing that counts was reached yet
        if epoch not in self._compared:
            return False
        return self._stopping.better(metrics["val_loss"], best["val_loss"])
