"""What the final stage found: as it is kept, and in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from hpo import seeds
from hpo.final.paired import difference, verdict
from hpo.final.verdict import Candidate, Verdict
from hpo.records import Objective
from hpo.report.kept import KeptCandidate, KeptFinal
from hpo.report.words import count, digits


def as_kept_final(found: Verdict, repeats: int, refit: int | None) -> KeptFinal:
    """A verdict as what is kept of it, its test metrics still unknown.

    Args:
        refit: the number of the winner's run on training and validation rows together.
    """
    return KeptFinal(
        candidates=tuple(_kept(each) for each in found.candidates),
        alike=tuple(each.entry.trial for each in found.alike if each.entry.trial is not None),
        baseline=found.baseline and _kept(found.baseline),
        seeds=tuple(seeds.of_repeat(repeat) for repeat in range(repeats)),
        refit=refit,
    )


def by_name(runs: Sequence[Mapping[str, float]]) -> dict[str, tuple[float, ...]]:
    """Metrics of several runs, each metric in the order of the runs; only those that all have."""
    names = [name for name in (runs[0] if runs else ()) if all(name in run for run in runs)]
    return {name: tuple(run[name] for run in runs) for name in names}


def lines(found: KeptFinal, objective: Objective) -> Iterator[str]:
    """What the final stage found, in sentences; the test metrics last."""
    winner, metric = found.winner, objective.metric
    yield f"winner: {winner.name}, {metric} {winner.repeated(winner.values)}"
    if winner.failed:
        yield f"{count(winner.failed, 'run')} of it did not complete"
    if found.alike:
        names = ", ".join(map(str, found.alike))
        yield f"it cannot be told apart from trial{'s' * (len(found.alike) > 1)} {names}"
    elif len(found.candidates) > 1:
        yield "it can be told apart from every other candidate"
    luck = winner.luck(objective)
    if luck is not None and winner.first is not None:
        how = "better than that mean, by luck" if luck >= 0 else "worse than that mean, by bad luck"
        yield f"in the search it had {digits(winner.first)}: {digits(abs(luck))} {how}"
    yield from _against_baseline(found, objective)
    for each in filter(None, (winner, found.baseline)):
        tested = (f"{name} {each.repeated(values)}" for name, values in each.test.items())
        if text := ", ".join(tested):
            yield f"on the test set, {each.name}: {text}"


def _against_baseline(found: KeptFinal, objective: Objective) -> Iterator[str]:
    winner, baseline = found.winner, found.baseline
    if baseline is None:
        return
    if not winner.runs.keys() & baseline.runs.keys():
        yield "the baseline has no complete run of a seed that the winner has, too"
        return
    values = baseline.repeated(baseline.values)
    apart = difference(values, winner.repeated(winner.values))
    yield f"baseline: {objective.metric} {values}"
    words = verdict(apart, objective, baseline.name, winner.name)
    yield f"{words}: {winner.name} less baseline {apart}"


def _kept(found: Candidate) -> KeptCandidate:
    runs = list(found.runs.values())
    return KeptCandidate(
        trial=found.entry.trial,
        first=found.first,
        config=dict(found.entry.config),
        runs={repeat: run.number for repeat, run in found.runs.items()},
        values=tuple(run.values[0] for run in runs),
        failed=found.failed,
        metrics=by_name([run.metrics for run in runs]),
    )
