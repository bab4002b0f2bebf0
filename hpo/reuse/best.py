"""A best config, written out: as it was found, or moved to another scale."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from hpo.differences import differences
from hpo.formats import Format
from hpo.records import Json
from hpo.report.kept import Kept
from hpo.report.words import count, yaml
from hpo.reuse.loading import Source, chosen
from hpo.trainable import Moved, Scale

HERE = Scale()
"""As it was found."""


def answer(
    source: Source, form: Format, trial: int | None = None, to: Scale = HERE
) -> tuple[str, list[str]]:
    """What was asked for, ready to parse, and what is to be said beside it.

    A config; or, with several objectives and no trial chosen, the whole set.

    Args:
        to: where the config is to train.

    Raises:
        InputError: a trial must be chosen or is not among the best; or see `move`.
    """
    is_set = isinstance(source, Kept) and len(source.objectives) > 1 and trial is None
    if isinstance(source, Kept) and is_set and form != "env" and to == HERE:
        notes = [f"{count(len(source.best), 'trial')}; --trial N prints the config of one"]
        return render(source.listed(), form), notes
    if to == HERE:
        return render(chosen(source, trial).config, form), []
    moved, changes = move(source, to, trial)
    return render(moved.config, form), [*(changes or ["nothing changed"]), *moved.assumptions]


def move(source: Source, to: Scale, trial: int | None = None) -> tuple[Moved, list[str]]:
    """A best config at another scale, and what changed, derived values included.

    Raises:
        InputError: the trainable has no rule for that, it cannot be moved there, or see `chosen`.
    """
    found = chosen(source, trial)
    trainable = found.load()
    moved = trainable.rescale(found.config, to)
    before, after = ({**c, **trainable.derived(c)} for c in (found.config, moved.config))
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
