"""The small nouns that cross the borders between search, execution, tracking and reports."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

Json = Any  # None, bool, int, float, str, list or dict of these; Python's typing has no name for it
Direction = Literal["minimize", "maximize"]
StageName = Literal["search", "final"]
STAGES: tuple[StageName, ...] = ("search", "final")


class State(StrEnum):
    """Where a trial stands. All but `RUNNING` are final; a lost trial goes back to `RUNNING`."""

    RUNNING = "running"
    COMPLETE = "complete"
    PRUNED = "pruned"
    DIVERGED = "diverged"
    OUT_OF_MEMORY = "out_of_memory"
    FAILED = "failed"


class Decision(StrEnum):
    """What a trial does after a report."""

    GO_ON = "go on"
    PRUNE = "prune"  # the pruner ends it
    DIVERGE = "diverge"  # a loss or the objective was not finite
    TIME_OUT = "time out"  # the trial is over its time limit
    PAUSE = "pause"  # the study is being stopped: it continues later from its checkpoint


@dataclass(frozen=True, slots=True)
class Saved:
    """What a trial has saved in a store that is not on this machine.

    Args:
        prefix: where, below what is the trial's; new each time.
        files: their paths below the prefix.
    """

    prefix: str
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrialSpec:
    """One trial as handed to a worker.

    Args:
        number: from 0, unique in the study.
        config: the concrete config, as JSON.
        seed: derived from the study's seed and `number`; in [0, 2**31).
        lease: tells two executions of one number apart; results under an old lease are ignored.
        saved: what earlier executions have saved, where checkpoints are in a store.
        refit: steps to train for on training and validation rows together; `None`: as usual.
    """

    number: int
    config: Mapping[str, Json]
    seed: int
    lease: str
    saved: Saved | None = None
    refit: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """Metrics at one step (from 1) of one trial. `time` is Unix time in seconds."""

    step: int
    metrics: Mapping[str, float]
    time: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an execution ended.

    Args:
        state: a final state.
        metrics: what the trainable returned.
        reason: one line for people; empty when complete.
        traceback: of an exception in the trainable.
    """

    state: State
    metrics: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    traceback: str = ""


TIMED_OUT = Outcome(State.FAILED, {}, "over its time limit, budget.trial_seconds")


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """A trial as the record has it.

    Args:
        params: searched values by parameter name (dotted path).
        values: of the objectives, in the study's order; empty unless complete (or pruned: what it
            last reported).
        metrics: final metrics as returned by the trainable.
        started, finished: Unix time in seconds; `finished` is `None` while running.
        steps: the last step reported, 0 if none.
        seconds: that workers spent on it, by a clock that nobody can set; 0 while running.
        draws: points drawn until the config model accepted one.
        same_as: the trial with the same config whose result this one was given without being run.
    """

    number: int
    state: State
    config: Mapping[str, Json]
    params: Mapping[str, Json]
    values: tuple[float, ...]
    metrics: Mapping[str, float]
    reason: str
    started: float
    finished: float | None
    steps: int
    seconds: float = 0.0
    draws: int = 1
    same_as: int | None = None

    @property
    def value(self) -> float | None:
        """Of the first objective, which for most studies is the only one."""
        return self.values[0] if self.values else None


@dataclass(frozen=True, slots=True)
class Objective:
    """The metric a study is about, and which way is better."""

    metric: str
    direction: Direction = "minimize"

    def better(self, a: float, b: float) -> bool:
        """Whether `a` is strictly better than `b`."""
        return a < b if self.direction == "minimize" else a > b

    def rank(self, value: float) -> float:
        """A key that sorts the best value first."""
        return value if self.direction == "minimize" else -value


Objectives = tuple[Objective, ...]
"""What a study is about: mostly one; with several, its result is the set of trade-offs."""


@dataclass(frozen=True, slots=True)
class StudyCard:
    """What a tracker must know of a study: its identity and what it is about.

    Args:
        id: made once, when the study is created; a study of the same name made anew has another.
        file_text: the study file as it was submitted.
        space: the resolved search space, as JSON.
        stage: whose trials these are: of the search, or of the final stage.
        data: digests of the data that every trial sees, by name; empty where nobody can tell.
    """

    name: str
    id: str
    objectives: Objectives
    file_text: str
    space: Json
    trials: int | None
    stage: StageName = "search"
    data: Mapping[str, str] = field(default_factory=dict)


def best_trials(trials: Iterable[TrialRecord], objectives: Objectives) -> list[TrialRecord]:
    """The best complete trial, the first of equals; with several objectives, the Pareto set.

    The Pareto set has every complete trial than which no other is at least as good in all
    objectives and better in one; of trials with equal values the first. By number.
    """
    complete = sorted(
        (t for t in trials if t.state is State.COMPLETE and t.values), key=lambda t: t.number
    )
    # In lexicographic order nothing is dominated by what comes after it.
    ranked = sorted(complete, key=lambda t: _ranks(t, objectives))
    front: list[TrialRecord] = []
    for trial in ranked:
        ranks = _ranks(trial, objectives)
        if not any(
            all(a <= b for a, b in zip(_ranks(other, objectives), ranks, strict=True))
            for other in front
        ):
            front.append(trial)
    return sorted(front, key=lambda t: t.number)


def _ranks(trial: TrialRecord, objectives: Objectives) -> list[float]:
    return [o.rank(value) for o, value in zip(objectives, trial.values, strict=True)]


def canonical(config: Json) -> str:
    """A config as text, the same for equal configs whatever the order of their keys."""
    return json.dumps(config, sort_keys=True)
