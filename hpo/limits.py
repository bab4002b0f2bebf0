"""When a study is over before its number of trials: its budget as a judge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from hpo.budget import BudgetSettings, Spending
from hpo.records import Objectives, State, TrialRecord, best_trials

HOUR = 3600.0

MAX_KNOWN = 100
"""So many configs in a row that were tried before, and there is hardly a new one left."""


class Limits:
    """Follows the trials of a study as they end.

    Args:
        trials: that have ended before this run.
    """

    def __init__(
        self, budget: BudgetSettings, objectives: Objectives, trials: Iterable[TrialRecord]
    ) -> None:
        self.budget = budget
        self._objectives = objectives
        ended = [t for t in trials if t.state is not State.RUNNING]
        self.best = best_trials(ended, objectives)
        self._numbers = [t.number for t in ended]
        self._idle = self._since_the_best()
        self._known_in_row = 0
        self._failed_in_row = 0
        self._reasons: Counter[str] = Counter()

    def ended(self, trial: TrialRecord) -> list[TrialRecord]:
        """Takes in a trial that has ended.

        Returns:
            those that were among the best and no longer are.
        """
        before, self.best = self.best, best_trials([*self.best, trial], self._objectives)
        self._numbers.append(trial.number)
        improved = any(t.number == trial.number for t in self.best)
        # By number, not by the order in which trials end, which is not known later.
        self._idle = self._since_the_best() if improved else self._idle + self._is_late(trial)
        self._known_in_row = 0 if trial.same_as is None else self._known_in_row + 1
        if trial.state is State.FAILED:
            self._failed_in_row += 1
            self._reasons[trial.reason] += 1
        else:
            self._failed_in_row = 0
            self._reasons.clear()
        return [t for t in before if t not in self.best]

    def _since_the_best(self) -> int:
        newest = max((t.number for t in self.best), default=-1)
        return sum(number > newest for number in self._numbers)

    def _is_late(self, trial: TrialRecord) -> bool:
        return all(trial.number > t.number for t in self.best)

    def failing(self) -> str | None:
        """Why the study gives up; `None` while it does not. Counts from the start of this run."""
        if self._failed_in_row < self.budget.max_failures:
            return None
        reason, times = self._reasons.most_common(1)[0]
        return f"{self._failed_in_row} trials in a row failed; most often ({times}x) {reason}"

    def reached(self, spent: Spending) -> str:
        """Why the study is over before its number of trials; empty if it is not."""
        budget = self.budget
        for name, hours, seconds in (
            ("wall_hours", budget.wall_hours, spent.wall_seconds),
            ("cpu_hours", budget.cpu_hours, spent.cpu_seconds),
            ("gpu_hours", budget.gpu_hours, spent.gpu_seconds),
        ):
            if hours is not None and seconds >= hours * HOUR:
                return f"budget.{name}: {hours:g} hours are used up"
        if budget.no_improvement is not None and self._idle >= budget.no_improvement:
            return f"budget.no_improvement: {self._idle} trials in a row brought nothing better"
        if self._known_in_row >= MAX_KNOWN:
            return f"{self._known_in_row} configs in a row had been tried before"
        if budget.target is not None and self.best:
            value, objective = self.best[0].values[0], self._objectives[0]
            if not objective.better(budget.target, value):
                return f"budget.target: {objective.metric} {value:.6g} reaches {budget.target:g}"
        return ""
