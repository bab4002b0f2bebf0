"""How a study went, in figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hpo.budget import Spending
from hpo.records import Objective, Objectives, State, TrialRecord, best_trials
from hpo.track import CurvePoint

TOP = 5


@dataclass(frozen=True, slots=True)
class Summary:
    """A study in figures.

    Args:
        counts: how many trials are in each state; states without trials are left out.
        rejected: draws that the config model did not accept.
        best: the best complete trial; with several objectives, the Pareto set by number.
        top: the best complete trials, best first, at most five; with several objectives, the
            Pareto set by the first of them.
        curves: for each objective, by metric, the best so far by trial number, from the first
            complete trial on.
        settled: how many points of a curve will not change. A trial still running can improve
            the points after it, never those before it.
        newest: Unix time in seconds of the latest event in the record; 0 if there is none.
    """

    objectives: Objectives
    counts: Mapping[State, int]
    rejected: int
    best: Sequence[TrialRecord]
    top: Sequence[TrialRecord]
    curves: Mapping[str, Sequence[CurvePoint]]
    settled: int
    newest: float
    spent: Spending

    @property
    def finished(self) -> int:
        """Trials in a final state."""
        return sum(count for state, count in self.counts.items() if state is not State.RUNNING)


def summarize(
    trials: Sequence[TrialRecord], objectives: Objectives, spent: Spending | None = None
) -> Summary:
    """The summary of `trials`, which may stand in any order and still be running."""
    trials = sorted(trials, key=lambda trial: trial.number)
    best = best_trials(trials, objectives)
    several = len(objectives) > 1
    complete = best if several else [t for t in trials if t.state is State.COMPLETE and t.values]
    top = sorted(complete, key=lambda t: (objectives[0].rank(t.values[0]), t.number))
    running = [t.number for t in trials if t.state is State.RUNNING]
    curves = {o.metric: best_so_far(trials, o, index) for index, o in enumerate(objectives)}
    points = curves[objectives[0].metric]
    counts = Counter(t.state for t in trials)
    return Summary(
        objectives=objectives,
        counts={state: counts[state] for state in State if counts[state]},
        rejected=sum(trial.draws - 1 for trial in trials),
        best=best,
        top=top if several else top[:TOP],
        curves=curves,
        settled=sum(point.number < min(running, default=point.number + 1) for point in points),
        newest=max((t.finished or t.started for t in trials), default=0.0),
        spent=spent or Spending(),
    )


def best_so_far(
    trials: Sequence[TrialRecord], objective: Objective, index: int = 0
) -> list[CurvePoint]:
    """One point for each ended trial from the first complete one on.

    Args:
        trials: by number.
        index: of the objective among the study's.
    """
    curve: list[CurvePoint] = []
    best: float | None = None
    for trial in trials:
        if trial.state is State.COMPLETE and trial.values:
            value = trial.values[index]
            if best is None or objective.better(value, best):
                best = value
        if best is not None and trial.finished is not None:
            curve.append(CurvePoint(trial.number, best, trial.finished))
    return curve
