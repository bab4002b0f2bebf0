"""What a study knows before its first trial: configs to try first, and trials of earlier studies.

It is looked up once, when the study is created, and kept: what happens to those studies later does
not change this one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from pydantic import BaseModel, ConfigDict

from hpo.search.record import Record
from hpo.space import OutsideSpace, Space, locate


class _Kept(BaseModel):
    # Before the first finite value a diverged trial is infinitely bad.
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")


class KnownTrial(_Kept):
    """A trial of an earlier study, as its sampler was told of it."""

    config: dict[str, Any]
    state: str
    values: list[float] | None
    constraints: dict[str, float]
    steps: dict[int, float]

    def told(self) -> FrozenTrial:
        return optuna.trial.create_trial(
            state=TrialState[self.state],
            values=self.values,
            constraints=self.constraints,
            intermediate_values=self.steps,
        )


class Known(_Kept):
    """See the module's docstring.

    Args:
        enqueue: the configs, whole or in part, with those of earlier studies filled in.
        trials: that the sampler learns from.
        notes: what was found where, for people.
    """

    enqueue: list[dict[str, Any]] = []
    trials: list[KnownTrial] = []
    notes: list[str] = []


def compatible(record: Record, space: Space) -> tuple[list[KnownTrial], Counter[str]]:
    """The trials of another study that are points of `space`, and why the others are not."""
    found: list[KnownTrial] = []
    why: Counter[str] = Counter()
    for config, told in _ended(record):
        try:
            locate(space.root, config)
        except OutsideSpace as outside:
            why[str(outside)] += 1
            continue
        found.append(
            KnownTrial(
                config=config,
                state=told.state.name,
                values=told.values,
                constraints=told.constraints,
                steps=told.intermediate_values,
            )
        )
    return found, why


def _ended(record: Record) -> Iterator[tuple[Any, FrozenTrial]]:
    for trial in record.trials():
        told = record.told(trial.number)
        if told.state in (TrialState.COMPLETE, TrialState.PRUNED):
            yield trial.config, told
