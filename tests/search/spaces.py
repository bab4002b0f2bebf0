"""Spaces, configs and made-up objectives for the tests of search."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, model_validator

from hpo.records import Direction, Json, Objective, Outcome, State, TrialRecord
from hpo.search.draws import Draws
from hpo.search.journal.base import Journal
from hpo.search.journal.file import FileJournal
from hpo.search.pruners import Asha, NoPruner
from hpo.search.record import Record
from hpo.search.settings import SamplerName, SearchSettings
from hpo.space import Space, check, parse


class Point(BaseModel):
    """Rejects half of its square."""

    x: float = Field(ge=0, le=1)
    y: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _below_the_diagonal(self) -> Point:
        if self.x + self.y > 1:
            raise ValueError("x + y must be at most 1")
        return self


TREE = {
    "lr": {"low": 1e-4, "high": 1.0, "log": True},
    "width": {"low": 8, "high": 64, "step": 8},
    "act": {"choices": ["relu", "tanh"]},
    "optimizer": {
        "choices": [
            {"kind": "sgd", "momentum": {"low": 0.0, "high": 0.9}},
            {"kind": "adam", "beta": {"choices": [0.9, 0.99]}, "eps": 1e-8},
        ]
    },
}

GRID = {
    "lr": {"choices": [0.001, 0.01, 0.1, 1.0]},
    "width": {"low": 8, "high": 40, "step": 8},
    "optimizer": {
        "choices": [
            {"kind": "sgd", "momentum": {"low": 0.0, "high": 0.9, "step": 0.3}},
            {"kind": "adam", "beta": {"choices": [0.9, 0.99]}},
        ]
    },
}


def make_space(tree: dict[str, Any], model: type[BaseModel] | None = None) -> Space:
    return check(parse(json.dumps(tree), "s.yaml"), model)


class Search:
    """A study's search, without anything that runs: opened again, it goes on."""

    def __init__(
        self,
        journal: Path | Journal,
        kind: SamplerName = "random",
        tree: dict[str, Any] = TREE,
        *,
        model: type[BaseModel] | None = None,
        prune: bool = False,
        direction: Direction = "minimize",
        seed: int = 0,
        trials: int | None = None,
        enqueue: Sequence[Json] = (),
    ) -> None:
        self.space = make_space(tree, model)
        objectives = (Objective("loss", direction),)
        if kind == "nsga2":
            objectives += (Objective("cost"),)
        pruner = Asha(min_steps=1, reduction_factor=2) if prune else NoPruner()
        store = FileJournal(journal, writable=True) if isinstance(journal, Path) else journal
        self.record = Record(store, objectives, pruner.make())
        self.draws = Draws(
            self.record,
            self.space,
            SearchSettings(sampler=kind, trials=trials, seed=seed),
            pruner,
            enqueue=enqueue,
        )

    def ask(self) -> TrialRecord | None:
        if not self.draws.has_next():
            return None
        proposal = self.draws.next().result()
        return None if proposal is None else self.draws.open(proposal, workers=1)

    def run(self, trials: int) -> None:
        """Runs to `trials` in all; those left running go on first."""
        for number in range(trials):
            known = self.record.trials()
            trial = known[number] if number < len(known) else self.ask()
            if trial is None:
                return
            assert trial.number == number
            if trial.state is State.RUNNING:
                self.finish(trial)

    def finish(self, trial: TrialRecord) -> TrialRecord:
        """Every seventh diverges, every eleventh fails, the rest report and are judged."""
        ended = self._finish(trial)
        self.draws.ended(trial.number)
        return ended

    def _finish(self, trial: TrialRecord) -> TrialRecord:
        if trial.number % 7 == 3:
            self.record.report(trial.number, 1, math.nan)
            return self.record.finish(trial.number, Outcome(State.DIVERGED, {}, "nan"), [])
        if trial.number % 11 == 5:
            return self.record.finish(trial.number, Outcome(State.FAILED, {}, "broken"), [])
        value = objective(trial.config)
        for step in range(1, 5):
            if self.record.report(trial.number, step, value + 1 / step):
                outcome = Outcome(State.PRUNED, {"loss": value + 1 / step}, "pruned")
                return self.record.finish(trial.number, outcome, [value + 1 / step])
        values = [value, -value][: len(self.record.objectives)]
        return self.record.finish(trial.number, Outcome(State.COMPLETE, {"loss": value}), values)

    def story(self) -> list[tuple[Any, ...]]:
        """All that must be the same however often the study was stopped; times are not."""
        return [
            (t.number, t.state, t.config, t.params, t.values, t.metrics, t.reason, t.steps)
            for t in self.record.trials()
        ]


def objective(config: Any) -> float:
    """Some smooth function of every number in a config."""
    return sum((math.tanh(float(value)) - 0.3) ** 2 for value in numbers(config))


def numbers(data: Any) -> Iterator[float]:
    if isinstance(data, dict):
        data = list(data.values())
    if isinstance(data, list):
        for item in data:
            yield from numbers(item)
    elif isinstance(data, (int, float)):
        yield data
