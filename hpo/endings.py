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


_DIVERGED = Outcome(State.DIVERGED, {}, "a loss or the objective was not finite")


def has_diverged(metrics: Mapping[str, float], objectives: Objectives) -> bool:
    """Whether an objective, `loss` or a `..._loss` is not finite."""
    names = {objective.metric for objective in objectives}
    return any(
        not math.isfinite(value)
        for name, value in metrics.items()
        if name in names or name == "loss" or name.endswith("_loss")
    )


def of_training(metrics: Mapping[str, float]) -> dict[str, float]:
    """What a refit may say: the rows that it validates on are rows that it trained on."""
    return {name: value for name, value in metrics.items() if name.startswith("train_")}


def judge_refit(outcome: Outcome, reports: Iterable[Report]) -> Ending:
    """What the outcome of a refit amounts to, which has no value to be ranked by."""
    metrics = _merged(outcome, reports)
    if outcome.state is State.COMPLETE and has_diverged(metrics, ()):
        outcome = _DIVERGED
    return Ending(replace(outcome, metrics=of_training(metrics)))


def judge(outcome: Outcome, reports: Iterable[Report], objectives: Objectives) -> Ending:
    """What an outcome amounts to."""
    metrics = _merged(outcome, reports)
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
            return Ending(replace(_DIVERGED, metrics=metrics))
    values = tuple(metrics.get(name, math.nan) for name in names)
    valued = outcome.state in (State.COMPLETE, State.PRUNED) and all(map(math.isfinite, values))
    return Ending(outcome, values if valued else ())


def _merged(outcome: Outcome, reports: Iterable[Report]) -> dict[str, float]:
    """All final metrics: not every report need carry every one of them."""
    metrics: dict[str, float] = {}
    for report in reports:
        metrics.update(report.metrics)
    metrics.update(outcome.metrics)
    return metrics
