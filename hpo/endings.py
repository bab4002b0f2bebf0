"""What a trial's end amounts to, from what its execution says and what it had reported."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from hpo.records import Objectives, Outcome, Report, State


@dataclass(frozen=True, slots=True)
class Ending:
    """A judged outcome.

    Args:
        outcome: with all final metrics.
        values: of the objectives, where it is complete or pruned and all of them are finite.
        unknown: an objective that a complete trial never gave: the study is about something else.
    """

    outcome: Outcome
    values: tuple[float, ...] = ()
    unknown: str | None = None


def has_diverged(metrics: Mapping[str, float], objectives: Objectives) -> bool:
    """Whether an objective, `loss` or a `..._loss` is not finite."""
    names = {objective.metric for objective in objectives}
    return any(
        not math.isfinite(value)
        for name, value in metrics.items()
        if name in names or name == "loss" or name.endswith("_loss")
    )


def judge(outcome: Outcome, reports: Iterable[Report], objectives: Objectives) -> Ending:
    """What an outcome amounts to."""
    metrics: dict[str, float] = {}
    for report in reports:
        metrics.update(report.metrics)  # not every report need carry every metric
    metrics.update(outcome.metrics)
    names = [objective.metric for objective in objectives]
    outcome = replace(outcome, metrics=metrics)
    if outcome.state is State.COMPLETE:
        missing = [name for name in names if name not in metrics]
        if not metrics:
            reason = "the trainable neither reported nor returned a metric"
            return Ending(Outcome(State.FAILED, {}, reason))
        if missing:
            return Ending(outcome, unknown=missing[0])
        if has_diverged(metrics, objectives):
            reason = "a loss or the objective was not finite"
            return Ending(Outcome(State.DIVERGED, metrics, reason))
    values = tuple(metrics.get(name, math.nan) for name in names)
    valued = outcome.state in (State.COMPLETE, State.PRUNED) and all(map(math.isfinite, values))
    return Ending(outcome, values if valued else ())
