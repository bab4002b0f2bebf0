"""The best config on its way to production; without ray, optuna or mlflow."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from hpo import trainable as trainables
from hpo.differences import differences
from hpo.home import Home
from hpo.records import Json
from hpo.report.kept import Kept, kept_of
from hpo.report.words import count, yaml
from hpo.trainable import Moved, Scale

HERE = Scale()
"""As it was found."""

Format = Literal["yaml", "json", "env"]


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
