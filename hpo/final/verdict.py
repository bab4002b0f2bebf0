"""Which candidate wins, by how much, and how much of its first value was luck."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hpo.final.candidates import Lineup
from hpo.final.paired import alike
from hpo.final.plan import Entry, Plan
from hpo.records import Objective, State, TrialRecord
from hpo.repeated import Repeated


@dataclass(frozen=True, slots=True)
class Candidate:
    """A config after its runs over fresh seeds.

    Args:
        first: its objective in the search; `None` for one that was not found there.
        runs: those that are complete, by repeat.
        failed: how many of its runs did not complete.
    """

    entry: Entry
    first: float | None
    runs: dict[int, TrialRecord]
    failed: int

    @property
    def repeated(self) -> Repeated:
        """Its objective in the complete runs."""
        return Repeated({repeat: run.values[0] for repeat, run in self.runs.items()})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the final stage found.

    Args:
        candidates: best first; those with runs that did not complete come last.
        alike: those of them that the winner cannot be told apart from.
        baseline: the config to beat, if the study names one; it cannot win.
    """

    candidates: tuple[Candidate, ...]
    alike: tuple[Candidate, ...]
    baseline: Candidate | None

    @property
    def winner(self) -> Candidate:
        return self.candidates[0]


def judge(
    plan: Plan,
    records: Sequence[TrialRecord],
    objective: Objective,
    lineup: Lineup,
    repeats: int,
) -> Verdict | None:
    """Ranks the candidates.

    Args:
        records: of the final stage, by number.
        repeats: so many of a config's runs count; it may have more, for other comparisons.

    Returns:
        `None` if no candidate has a complete run.
    """
    found = [
        candidate(plan, records, Entry(t.number, t.config), repeats, t.value)
        for t in lineup.candidates
    ]
    ranked = sorted(
        (each for each in found if each.runs),
        key=lambda each: (each.failed, objective.rank(each.repeated.mean), each.entry.trial),
    )
    if not ranked:
        return None
    near = alike([each.repeated for each in ranked], 0)
    baseline = lineup.baseline
    beside = candidate(plan, records, baseline, repeats) if baseline is not None else None
    return Verdict(tuple(ranked), tuple(ranked[i] for i in near), beside)


def candidate(
    plan: Plan,
    records: Sequence[TrialRecord],
    entry: Entry,
    repeats: int,
    first: float | None = None,
) -> Candidate:
    """What the final stage knows of a config from its first `repeats` runs."""
    ended = {
        repeat: records[number]
        for repeat, number in plan.numbers(entry.config).items()
        if repeat < repeats and number < len(records) and records[number].state is not State.RUNNING
    }
    complete = {repeat: run for repeat, run in ended.items() if run.state is State.COMPLETE}
    return Candidate(entry, first, complete, len(ended) - len(complete))
