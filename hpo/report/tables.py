"""Tables and lines for the terminal."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from hpo.errors import InputError
from hpo.records import Json, State, TrialRecord
from hpo.report.summary import digits, duration, params_line, yaml
from hpo.space import Choices, Draw, Located, Parameter
from hpo.space.messages import did_you_mean
from hpo.studyfile import Study


def space(study: Study) -> Table:
    """What varies, how, and under which choice."""
    table = _table("parameter", "values", "scale", "only if", title=f"space of {study.name}")
    for here in study.space.parameters:
        table.add_row(
            escape(here.parameter.name),
            _values(here.parameter),
            _scale(here.parameter),
            escape(_given(here)),
        )
    return table


def verdict(study: Study) -> str:
    count = len(study.space.parameters)
    search = study.file.search
    trials = f"{search.trials} trials" if search.trials else "all points"
    return f"{study.name}: valid; {count} parameters, sampler {search.sampler}, {trials}"


def configs(draws: Sequence[Draw]) -> Table:
    """What each draw chose, one row a trial."""
    table = _table("trial", "parameters", title=f"the first {len(draws)} configs")
    for number, drawn in enumerate(draws):
        table.add_row(str(number), escape(params_line(drawn.params)))
    return table


def result(result: Any, study: Study) -> Iterator[RenderableType]:
    """The end of a run: what happened, the best config, its validation and its test metrics."""
    if result.done:
        yield Text(f"study {result.name} is complete: {_outcomes(result.trials)}", style="bold")
    if result.best is None:
        yield Text("no trial is complete yet")
    else:
        yield from _best(result.best, study.objective.metric, result.test)
    yield Text(f"files: {os.path.relpath(result.folder)}")
    yield Text(f"look at it: {result.url or 'hpo ui'}")
    if result.best is not None:
        yield Text(f"use it: hpo best {result.name}")
    if result.trouble:
        yield Text(
            f"the tracker is behind ({result.trouble}); run the study again to publish the rest",
            style="yellow",
        )


def status(result: Any) -> Iterator[RenderableType]:
    """How far a study is, from its record."""
    yield Text(f"study {result.name}: {_state(result)}; {_outcomes(result.trials)}", style="bold")
    if result.best is not None:
        yield from _best(result.best, result.objective.metric, result.test)
    failures = Counter(t.reason for t in result.trials if t.state is State.FAILED)
    for reason, times in failures.most_common(3):
        yield Text(f"failed {times}x: {reason}", style="yellow")
    yield Text(f"files: {os.path.relpath(result.folder)}")


def studies(results: Sequence[Any]) -> Table:
    """One row a study; a name and an error for one that cannot be read."""
    table = _table("study", "state", "finished", "best", "trial")
    for found in results:
        if isinstance(found, tuple):
            name, error = found
            table.add_row(name, "unreadable", "", escape(error.message), "")
            continue
        finished = sum(t.state is not State.RUNNING for t in found.trials)
        best = found.best
        table.add_row(
            found.name,
            _state(found),
            str(finished) if found.total is None else f"{finished}/{found.total}",
            f"{found.objective.metric} {digits(best.value)}" if best else "",
            str(best.number) if best else "",
        )
    return table


def parts(family: str | None) -> Iterator[Table]:
    """Every built-in part, family by family.

    Raises:
        InputError: there is no such family.
    """
    from hpo.train.parts import families

    known = families()
    if family is not None and family not in known:
        raise InputError(
            f"there is no family {family!r}{did_you_mean(family, known)}",
            f"families: {', '.join(known)}",
        )
    for name, classes in known.items():
        if family not in (None, name):
            continue
        table = _table("part", "setting", "range", "default", "what it is", title=name)
        for part in classes:
            _part(table, part)
        yield table


def _part(table: Table, part: type[BaseModel]) -> None:
    fields = {n: info for n, info in part.model_fields.items() if n != "kind"}
    kind = part.model_fields.get("kind")
    name = str(kind.default) if kind is not None and kind.default else part.__name__
    summary = (part.__doc__ or "").strip().splitlines()[0]
    reference = getattr(part, "reference", "")
    about = f"{summary} {reference}".strip()
    table.add_row(escape(name), "", "", "", escape(about), style="bold")
    for setting, info in fields.items():
        table.add_row(
            "", setting, escape(_bounds(info)), escape(_default(info)), info.description or ""
        )


def _bounds(info: FieldInfo) -> str:
    """`[0, 1)`, or the alternatives, or the type's name."""
    low = next((f"[{m.ge:g}" for m in info.metadata if hasattr(m, "ge")), "")
    low = next((f"({m.gt:g}" for m in info.metadata if hasattr(m, "gt")), low)
    high = next((f"{m.le:g}]" for m in info.metadata if hasattr(m, "le")), "")
    high = next((f"{m.lt:g})" for m in info.metadata if hasattr(m, "lt")), high)
    if low or high:
        return f"{low or '(-inf'}, {high or 'inf)'}"
    arguments = getattr(info.annotation, "__args__", ())
    if arguments and all(isinstance(a, str) for a in arguments):
        return " | ".join(arguments)
    return getattr(info.annotation, "__name__", str(info.annotation))


def _default(info: FieldInfo) -> str:
    if info.is_required() or info.default is PydanticUndefined:
        return "required" if info.is_required() else ""
    value = info.default
    return type(value).__name__ if isinstance(value, BaseModel) else digits_or_text(value)


def digits_or_text(value: Json) -> str:
    return str(value) if isinstance(value, (tuple, list)) else digits(value)


def _best(best: TrialRecord, metric: str, test: Any) -> Iterator[RenderableType]:
    yield Text(f"best trial {best.number}: {metric} {digits(best.value)}")
    if test:
        shown = ", ".join(f"{name} {digits(value)}" for name, value in test.items())
        yield Text(f"on the test set: {shown}")
    yield Text(yaml(best.config).rstrip(), style="cyan")


def _outcomes(trials: Sequence[TrialRecord]) -> str:
    counts = Counter(trial.state for trial in trials)
    seconds = 0.0
    if trials:
        seconds = max(t.finished or t.started for t in trials) - min(t.started for t in trials)
    shown = ", ".join(f"{counts[s]} {s.value.replace('_', ' ')}" for s in State if counts[s])
    again = sum(trial.draws - 1 for trial in trials)
    redrawn = f"; {again} draws that the config model rejected" if again else ""
    text = f"{len(trials)} trials ({shown}) over {duration(seconds)}{redrawn}"
    return text if trials else "no trials"


def _state(result: Any) -> str:
    return "complete" if result.done else "running" if result.running else "stopped"


def _values(parameter: Parameter) -> str:
    if isinstance(parameter, Choices):
        return escape(" | ".join(parameter.labels))
    step = f" by {digits(parameter.step)}" if parameter.step else ""
    return f"{digits(parameter.low)} to {digits(parameter.high)}{step}"


def _scale(parameter: Parameter) -> str:
    if isinstance(parameter, Choices):
        return "choice"
    kind = "whole, " if parameter.integer else ""
    return kind + ("log" if parameter.log else "linear")


def _given(here: Located) -> str:
    return ", ".join(f"{choices.name} is {choices.labels[i]}" for choices, i in here.given)


def _table(*columns: str, title: str | None = None) -> Table:
    table = Table(title=title, title_justify="left", box=None, header_style="dim", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
