"""The best trials on their way to production: written once, read without ray, optuna or mlflow."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator

from hpo import trainable as trainables
from hpo.differences import differences
from hpo.errors import InputError
from hpo.files import write_atomically
from hpo.home import Home, StudyFolder
from hpo.records import Json, Objectives
from hpo.report.words import count, metrics_line, yaml
from hpo.settings import Settings
from hpo.space import typed
from hpo.trainable import Moved, Scale

HERE = Scale()
"""As it was found."""

Format = Literal["yaml", "json", "env"]

_NUMBERS = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=True, ser_json_inf_nan="strings")


class KeptTrial(Settings):
    """What is kept of one of the best trials.

    Args:
        values: of the objectives, in the study's order, on validation data.
        metrics: all of its final metrics.
        test: test metrics; empty while the study is not complete, or where the trainable has none.
    """

    model_config = _NUMBERS

    trial: int
    values: tuple[float, ...]
    metrics: dict[str, float]
    test: dict[str, float] = Field(default_factory=dict)
    config: dict[str, Any]


class Kept(Settings):
    """What is kept of a study's best trials: one, or with several objectives the Pareto set.

    Args:
        trials: how many trials had finished when this was written.
        complete: whether those were all.
        trainable, folder: what the configs belong to, as in the study file.
        best: by trial number.
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
        return Kept.model_validate_json(folder.best.read_text(encoding="utf-8"))
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


def load_best(name: str, home: str | Path | Home | None = None, trial: int | None = None) -> Any:
    """The best config of a study, as an instance of its trainable's own Pydantic model.

    Args:
        name: of the study.
        home: the home folder; default `$HPO_HOME`, or `.hpo/` in the working folder.
        trial: which of the best trials; needed where the study has several objectives.

    Returns:
        The typed config; a plain dict if the trainable takes dicts.

    Raises:
        InputError: there is no such study, none of its trials is complete, its trainable cannot
            be imported, or it has several objectives and no trial of its best is chosen.

    Example:
        >>> config = hpo.load_best("digits")  # doctest: +SKIP
        >>> config.batch_lr.learning_rate  # doctest: +SKIP
        0.11
    """
    return kept_of(name, home).typed(trial)


def answer(
    kept: Kept, form: Format, trial: int | None = None, to: Scale = HERE
) -> tuple[str, list[str]]:
    """What was asked for, ready to parse, and what is to be said beside it.

    A config; or, with several objectives and no trial chosen, the whole set.

    Args:
        to: where the config is to train.

    Raises:
        InputError: a trial must be chosen or is not among the best; or see `move`.
    """
    if trial is None and len(kept.objectives) > 1 and form != "env" and to == HERE:
        notes = [f"{count(len(kept.best), 'trial')}; --trial N prints the config of one"]
        return render(kept.listed(), form), notes
    config: Json = kept.one(trial).config
    if to == HERE:
        return render(config, form), []
    moved, changes = move(kept, to, trial)
    return render(moved.config, form), [*(changes or ["nothing changed"]), *moved.assumptions]


def move(kept: Kept, to: Scale, trial: int | None = None) -> tuple[Moved, list[str]]:
    """A best config at another scale, and what changed, derived values included.

    Raises:
        InputError: the trainable has no rule for that, it cannot be moved there, or see `Kept.one`.
    """
    config = kept.one(trial).config
    trainable = trainables.load(kept.trainable, Path(kept.folder))
    moved = trainable.rescale(config, to)
    before, after = ({**c, **trainable.derived(c)} for c in (config, moved.config))
    return moved, list(differences(before, after))


def render(found: Mapping[str, Json] | list[Json], form: Format) -> str:
    """A config alone, or a list of trials, ready to parse.

    `env` gives `HPO__PATH__TO__VALUE=...` lines that a POSIX shell can read; texts are quoted,
    lists are JSON.
    """
    if form == "json":
        return json.dumps(found, indent=2) + "\n"
    if form == "env":
        return "".join(f"{name}={value}\n" for name, value in _env(found, "HPO"))
    return yaml(found)


def _env(value: Json, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, child in value.items():
            inner = "".join(c if c.isascii() and c.isalnum() else "_" for c in key).upper()
            yield from _env(child, f"{name}__{inner}")
    elif value is None:
        yield name, ""
    else:
        text = value if isinstance(value, str) else json.dumps(value)
        yield name, "'" + text.replace("'", "'\\''") + "'" if not text.isalnum() else text
