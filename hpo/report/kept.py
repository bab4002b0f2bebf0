"""What is kept of a study's best trials: written once, read without ray, optuna or mlflow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator

from hpo import trainable as trainables
from hpo.errors import InputError
from hpo.files import read_bounded, write_atomically
from hpo.final.plan import Entry
from hpo.home import Home, StudyFolder
from hpo.records import Json, Objective, Objectives
from hpo.repeated import Repeated
from hpo.report.words import metrics_line
from hpo.settings import Settings
from hpo.space import typed

MAX_BYTES = 1 << 26
"""Of what is kept of the best trials; with several objectives they may be many."""

_NUMBERS = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=True, ser_json_inf_nan="strings")


class KeptTrial(Settings):
    """What is kept of one of the best trials.

    Args:
        values: of the objectives, in the study's order, on validation data, as the search found
            them; for the winner of a final stage that is one run of luck, see `KeptCandidate`.
        metrics: all of its final metrics in the search.
        test: test metrics; empty while the study is not complete, or where the trainable has none.
            Of the winner of a final stage, their means over its runs there.
    """

    model_config = _NUMBERS

    trial: int
    values: tuple[float, ...]
    metrics: dict[str, float]
    test: dict[str, float] = Field(default_factory=dict)
    config: dict[str, Any]


class KeptCandidate(Settings):
    """What is kept of a config that ran again over fresh seeds.

    Args:
        trial: of the search, that found it; `None` for the baseline.
        first: its objective there.
        runs: of the final stage, that are complete: their numbers, by repeat.
        values: the objective of each, in the order of `runs`.
        failed: how many of its runs did not complete.
        metrics: all final metrics of those runs, each in the order of `runs`.
        test: the same for test metrics; only the winner and the baseline have any.
    """

    model_config = _NUMBERS

    trial: int | None
    first: float | None
    config: dict[str, Any]
    runs: dict[int, int]
    values: tuple[float, ...]
    failed: int
    metrics: dict[str, tuple[float, ...]] = Field(default_factory=dict)
    test: dict[str, tuple[float, ...]] = Field(default_factory=dict)

    @property
    def name(self) -> str:
        return Entry(self.trial, self.config).name

    def repeated(self, values: Sequence[float]) -> Repeated:
        """Numbers that stand in the order of `runs`, by repeat."""
        return Repeated(dict(zip(self.runs, values, strict=True)))

    def luck(self, objective: Objective) -> float | None:
        """By how much its first value was better than its mean over fresh seeds, or less than 0."""
        if self.first is None or not self.values:
            return None
        return objective.rank(self.repeated(self.values).mean) - objective.rank(self.first)


class KeptFinal(Settings):
    """What the final stage found, once all of its runs have ended.

    Args:
        candidates: best first; the first has won.
        alike: numbers of the trials that the winner cannot be told apart from.
        seeds: `trial.seed` of every repeat.
        refit: the number of the run on training and validation rows together, if there is one.
    """

    model_config = _NUMBERS

    candidates: tuple[KeptCandidate, ...] = Field(min_length=1)
    alike: tuple[int, ...] = ()
    baseline: KeptCandidate | None = None
    seeds: tuple[int, ...]
    refit: int | None = None

    @property
    def winner(self) -> KeptCandidate:
        return self.candidates[0]


class Kept(Settings):
    """What is kept of a study's best trials: one, or with several objectives the Pareto set.

    Args:
        trials: how many trials had finished when this was written.
        complete: whether those were all, and the final stage is over where there is one.
        trainable, folder: what the configs belong to, as in the study file.
        best: by trial number; after a final stage its winner.
        final: what the final stage found; `None` where there is none, or none yet.
    """

    model_config = _NUMBERS

    schema_version: Literal[2] = 2
    study: str
    trials: int
    complete: bool
    objectives: Objectives = Field(min_length=1)
    trainable: str
    folder: str
    best: list[KeptTrial] = Field(min_length=1)
    final: KeptFinal | None = None

    @model_validator(mode="after")
    def _fit(self) -> Kept:
        if any(len(kept.values) != len(self.objectives) for kept in self.best):
            raise ValueError("a trial has a value for each objective")
        if len(self.objectives) == 1 and len(self.best) > 1:
            raise ValueError("with one objective there is one best trial")
        return self

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(kept.trial for kept in self.best)

    def values(self, kept: KeptTrial) -> dict[str, float]:
        """What a trial reached, by metric."""
        return {o.metric: v for o, v in zip(self.objectives, kept.values, strict=True)}

    def one(self, trial: int | None = None) -> KeptTrial:
        """The trial of that number; without a number, the best one.

        Raises:
            InputError: that trial is not among the best; or there are several objectives and none
                is chosen.
        """
        for kept in self.best:
            if trial == kept.trial or (trial is None and len(self.objectives) == 1):
                return kept
        shown = "\n  ".join(
            f"trial {kept.trial}: {metrics_line(self.values(kept))}" for kept in self.best
        )
        if trial is None:
            metrics = ", ".join(o.metric for o in self.objectives)
            raise InputError(
                f"study {self.study!r} has several objectives ({metrics}), and which of its best"
                " trials to take is your choice",
                f"choose one: --trial N, or load_best(..., trial=N)\n  {shown}",
            )
        raise InputError(
            f"trial {trial} is not among the best of study {self.study!r}",
            f"{'these are' if len(self.best) > 1 else 'this one is'}:\n  {shown}",
        )

    def typed(self, trial: int | None = None) -> Any:
        """A config as an instance of its trainable's model, or a plain dict where it has none.

        Args:
            trial: which one; may be left out where there is one objective.

        Raises:
            InputError: the trainable cannot be imported, or see `one`.
        """
        config = self.one(trial).config
        return typed(trainables.load(self.trainable, Path(self.folder)).config_type, config)

    def listed(self) -> list[Json]:
        """The whole set, for people and programs to choose from."""
        return [
            {"trial": kept.trial, "values": self.values(kept), "config": kept.config}
            for kept in self.best
        ]


def write_kept(kept: Kept, folder: StudyFolder) -> None:
    write_atomically(folder.best, kept.model_dump_json(indent=1))


def read_kept(folder: StudyFolder) -> Kept | None:
    """`None` while no trial is complete, or if the file is damaged: it is only a copy of what the
    record knows, and the next run writes it anew."""
    try:
        return Kept.model_validate_json(read_bounded(folder.best, MAX_BYTES))
    except (FileNotFoundError, ValueError):
        return None


def kept_of(name: str, home: str | Path | Home | None = None) -> Kept:
    """The best of a study by name.

    Raises:
        InputError: there is no such study, or none of its trials is complete.
    """
    home = Home.at(home)
    folder = home.study(name)
    if not folder.spec.exists():
        known = ", ".join(s.name for s in home.studies())
        raise InputError(
            f"there is no study {name!r} in {home.root}",
            f"there are: {known}" if known else "set HPO_HOME, or run it: hpo run STUDY",
        )
    kept = read_kept(folder)
    if kept is None and folder.best.exists():
        raise InputError(f"{folder.best} is damaged", "run the study again: it is written anew")
    if kept is None:
        raise InputError(
            f"no trial of study {name!r} is complete", f"hpo status {name} shows how far it is"
        )
    return kept
