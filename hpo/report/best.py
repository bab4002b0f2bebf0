"""The best config on its way to production: written once, read without ray, optuna or mlflow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict

from hpo import trainable as trainables
from hpo.differences import differences
from hpo.errors import InputError
from hpo.files import write_atomically
from hpo.home import Home, StudyFolder
from hpo.records import Json, Objective
from hpo.report.summary import yaml
from hpo.settings import Settings
from hpo.space import typed

Format = Literal["yaml", "json", "env"]


class Best(Settings):
    """What is kept of a study's best trial.

    Args:
        value: of the objective, on validation data.
        metrics: all of its final metrics.
        test: test metrics; empty while the study is not complete, or where the trainable has none.
        trials: how many trials had finished when this was written.
        complete: whether those were all.
        trainable, folder: what the config belongs to, as in the study file.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=True, ser_json_inf_nan="strings"
    )

    schema_version: Literal[1] = 1
    study: str
    trial: int
    trials: int
    complete: bool
    objective: Objective
    value: float
    metrics: dict[str, float]
    test: dict[str, float]
    trainable: str
    folder: str
    config: dict[str, Any]

    def typed(self) -> Any:
        """The config as an instance of its trainable's model, or a plain dict where it has none.

        Raises:
            InputError: the trainable cannot be imported.
        """
        return typed(trainables.load(self.trainable, Path(self.folder)).config_type, self.config)


def write_best(best: Best, folder: StudyFolder) -> None:
    write_atomically(folder.best, best.model_dump_json(indent=1))


def read_best(folder: StudyFolder) -> Best | None:
    """`None` while no trial is complete, or if the file is damaged: it is only a copy of what the
    record knows, and the next run writes it anew."""
    try:
        return Best.model_validate_json(folder.best.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def best_of(name: str, home: str | Path | Home | None = None) -> Best:
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
    best = read_best(folder)
    if best is None and folder.best.exists():
        raise InputError(f"{folder.best} is damaged", "run the study again: it is written anew")
    if best is None:
        raise InputError(
            f"no trial of study {name!r} is complete", f"hpo status {name} shows how far it is"
        )
    return best


def load_best(name: str, home: str | Path | Home | None = None) -> Any:
    """The best config of a study, as an instance of its trainable's own Pydantic model.

    Args:
        name: of the study.
        home: the home folder; default `$HPO_HOME`, or `.hpo/` in the working folder.

    Returns:
        The typed config; a plain dict if the trainable takes dicts.

    Raises:
        InputError: there is no such study, none of its trials is complete, or its trainable cannot
            be imported.

    Example:
        >>> config = hpo.load_best("digits")  # doctest: +SKIP
        >>> config.batch_lr.learning_rate  # doctest: +SKIP
        0.11
    """
    return best_of(name, home).typed()


def move(best: Best, batch_size: int) -> tuple[Json, list[str]]:
    """The best config at another batch size, and what changed, derived values included.

    Raises:
        InputError: the trainable has no rule for that, or the batch size is not possible.
    """
    trainable = trainables.load(best.trainable, Path(best.folder))
    moved = trainable.rescale(best.config, batch_size)
    before, after = ({**config, **trainable.derived(config)} for config in (best.config, moved))
    return moved, list(differences(before, after))


def render(config: Json, form: Format) -> str:
    """The config alone, ready to parse.

    `env` gives `HPO__PATH__TO__VALUE=...` lines that a POSIX shell can read; texts are quoted,
    lists are JSON.
    """
    if form == "json":
        return json.dumps(config, indent=2) + "\n"
    if form == "env":
        return "".join(f"{name}={value}\n" for name, value in _env(config, "HPO"))
    return yaml(config)


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
