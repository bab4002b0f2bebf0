"""Which candidate wins, by how much, and how much of its first value was luck."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hpo.final.paired import Repeated, alike
from hpo.final.plan import Plan
from hpo.records import Json, Objective, State, TrialRecord

BASELINE = -1
"""The number of the candidate that no trial of the search has found."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A config in the final stage.

    Args:
        number: of the trial that found it, or `BASELINE`.
        first: its objective in the search; `None` for the baseline.
        repeated: its objective in the runs of the final stage that are complete.
        runs: the numbers of those runs, by repeat.
        failed: how many of its runs did not complete.
    """

    number: int
    config: Mapping[str, Json]
    first: float | None
    repeated: Repeated
    runs: Mapping[int, int]
    failed: int

    def luck(self, objective: Objective) -> float | None:
        """By how much its first value was better than its mean over fresh seeds, or less than 0."""
        if self.first is None or not self.repeated.n:
            return None
        return objective.rank(self.repeated.mean) - objective.rank(self.first)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the final stage found.

    Args:
        candidates: best first; those with runs that did not complete come last.
        alike: numbers of the candidates that the winner cannot be told apart from.
        baseline: the config to beat, if the study names one; it cannot win.
    """

    candidates: tuple[Candidate, ...]
    alike: tuple[int, ...]
    baseline: Candidate | None

    @property
    def winner(self) -> Candidate:
        return self.candidates[0]


def judge(
    plan: Plan,
    records: Sequence[TrialRecord],
    objective: Objective,
    trials: Sequence[TrialRecord],
    baseline: Mapping[str, Json] | None,
) -> Verdict | None:
    """Ranks the candidates.

    Args:
        records: of the final stage, by number.
        trials: of the search, whose configs are the candidates.

    Returns:
        `None` if no candidate has a complete run.
    """
    found = [candidate(plan, records, t.number, t.config, t.value) for t in trials]
    ranked = sorted(
        (each for each in found if each.repeated.n),
        key=lambda each: (each.failed, objective.rank(each.repeated.mean), each.number),
    )
    if not ranked:
        return None
    near = alike([each.repeated for each in ranked], 0)
    beside = candidate(plan, records, BASELINE, baseline, None) if baseline is not None else None
    return Verdict(tuple(ranked), tuple(ranked[i].number for i in near), beside)


def candidate(
    plan: Plan,
    records: Sequence[TrialRecord],
    number: int,
    config: Mapping[str, Json],
    first: float | None,
) -> Candidate:
    """What the final stage knows of a config."""
    runs = {r: n for r, n in plan.numbers(config).items() if n < len(records)}
    complete = {r: n for r, n in runs.items() if records[n].state is State.COMPLETE}
    values = {r: records[n].values[0] for r, n in complete.items()}
    return Candidate(number, config, first, Repeated(values), complete, len(runs) - len(complete))
