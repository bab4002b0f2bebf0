"""The trials of a record as they stand: their numbers by state, and what has changed since when."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator

from hpo.records import Json, State, TrialRecord, canonical

ANSWERS = (State.COMPLETE, State.DIVERGED)
"""What a deterministic trainable would come to again. A trial that was pruned was so because of
others, one that failed or was out of memory perhaps because of the machine."""


class Trials:
    """All trials of a stage by number, in the order of their numbers.

    Args:
        trials: to begin with.
        deterministic: whether trials of one config come to one result.
    """

    def __init__(self, trials: Iterable[TrialRecord], deterministic: bool) -> None:
        self._deterministic = deterministic
        self._trials: dict[int, TrialRecord] = {}
        self._counts: Counter[State] = Counter()
        self._version = 0
        self._changed: OrderedDict[int, int] = OrderedDict()
        self._results: dict[str, int] = {}
        for trial in trials:
            self.note(trial)

    def __len__(self) -> int:
        return len(self._trials)

    def __iter__(self) -> Iterator[TrialRecord]:
        return iter(self._trials.values())

    def __getitem__(self, number: int) -> TrialRecord:
        return self._trials[number]

    @property
    def counts(self) -> dict[State, int]:
        """Trials by state; no state that none is in."""
        return dict(+self._counts)

    @property
    def ended(self) -> int:
        """How many have ended."""
        return len(self._trials) - self._counts[State.RUNNING]

    def runs(self, number: int) -> bool:
        """Whether there is such a trial and it has not ended."""
        trial = self._trials.get(number)
        return trial is not None and trial.state is State.RUNNING

    def note(self, trial: TrialRecord) -> None:
        """A trial is new, or has changed."""
        self._version += 1
        before = self._trials.get(trial.number)
        if before is not None:
            self._counts[before.state] -= 1
        self._counts[trial.state] += 1
        self._trials[trial.number] = trial
        self._changed[trial.number] = self._version
        self._changed.move_to_end(trial.number)
        if self._deterministic and trial.state in ANSWERS:
            self._results.setdefault(canonical(trial.config), trial.number)

    def answer(self, config: Json) -> TrialRecord | None:
        """A trial whose result is that of any trial of this config; `None`: it has to run."""
        number = self._results.get(canonical(config))
        return None if number is None else self._trials[number]

    def changes(self, since: int) -> tuple[int, list[TrialRecord]]:
        """Trials changed since an earlier answer's number (0: all), and the number for next."""
        changed = []
        for number in reversed(self._changed):
            if self._changed[number] <= since:
                break
            changed.append(self._trials[number])
        return self._version, sorted(changed, key=lambda t: t.number)
