"""What a trial's reports and its end amount to."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
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


class Rules(ABC):
    """How what a trial says is taken."""

    @abstractmethod
    def missing(self, metrics: Mapping[str, float]) -> str | None:
        """A metric that a first report must have and this one lacks."""

    @abstractmethod
    def taken(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Those metrics of a report that count."""

    @abstractmethod
    def value(self, metrics: Mapping[str, float]) -> float | None:
        """What the pruner is told; NaN: the trial has come so far, and has no value."""

    @abstractmethod
    def has_diverged(self, metrics: Mapping[str, float]) -> bool:
        """Whether a trial with such metrics ends."""

    @abstractmethod
    def judge(self, outcome: Outcome, reports: Iterable[Report]) -> Ending:
        """What an outcome amounts to."""


@dataclass(frozen=True, slots=True)
class Valued(Rules):
    """A trial with a value for each objective."""

    objectives: Objectives

    def missing(self, metrics: Mapping[str, float]) -> str | None:
        return next((o.metric for o in self.objectives if o.metric not in metrics), None)

    def taken(self, metrics: Mapping[str, float]) -> dict[str, float]:
        return dict(metrics)

    def value(self, metrics: Mapping[str, float]) -> float | None:
        return metrics.get(self.objectives[0].metric)

    def has_diverged(self, metrics: Mapping[str, float]) -> bool:
        return has_diverged(metrics, self.objectives)

    def judge(self, outcome: Outcome, reports: Iterable[Report]) -> Ending:
        metrics = _merged(outcome, reports)
        names = [objective.metric for objective in self.objectives]
        outcome = replace(outcome, metrics=metrics)
        if outcome.state is State.COMPLETE:
            if not metrics:
                reason = "the trainable neither reported nor returned a metric"
                return Ending(Outcome(State.FAILED, {}, reason))
            if (missing := self.missing(metrics)) is not None:
                return Ending(outcome, unknown=missing)
            if self.has_diverged(metrics):
                return Ending(replace(_DIVERGED, metrics=metrics))
        values = tuple(metrics.get(name, math.nan) for name in names)
        valued = outcome.state in (State.COMPLETE, State.PRUNED) and all(map(math.isfinite, values))
        return Ending(outcome, values if valued else ())


class Refit(Rules):
    """A trial on training and validation rows together, which has no value to be ranked by: the
    rows that it would validate on are rows that it trained on."""

    def missing(self, metrics: Mapping[str, float]) -> str | None:
        return None

    def taken(self, metrics: Mapping[str, float]) -> dict[str, float]:
        return {name: value for name, value in metrics.items() if name.startswith("train_")}

    def value(self, metrics: Mapping[str, float]) -> float | None:
        return math.nan

    def has_diverged(self, metrics: Mapping[str, float]) -> bool:
        return has_diverged(metrics, ())

    def judge(self, outcome: Outcome, reports: Iterable[Report]) -> Ending:
        metrics = _merged(outcome, reports)
        if outcome.state is State.COMPLETE and self.has_diverged(metrics):
            outcome = _DIVERGED
        return Ending(replace(outcome, metrics=self.taken(metrics)))


def has_diverged(metrics: Mapping[str, float], objectives: Objectives) -> bool:
    """Whether an objective, `loss` or a `..._loss` is not finite."""
    names = {objective.metric for objective in objectives}
    return any(
        not math.isfinite(value)
        for name, value in metrics.items()
        if name in names or name == "loss" or name.endswith("_loss")
    )


def _merged(outcome: Outcome, reports: Iterable[Report]) -> dict[str, float]:
    """All final metrics: not every report need carry every one of them."""
    metrics: dict[str, float] = {}
    for report in reports:
        metrics.update(report.metrics)
    metrics.update(outcome.metrics)
    return metrics
