"""Tables for the terminal: what a study would search, and what it can be built of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from inspect import isclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from rich.markup import escape
from rich.table import Table

from hpo.errors import InputError
from hpo.records import Json
from hpo.report.words import digits, params_line
from hpo.space import Choices, Draw, Located, Parameter
from hpo.space.messages import did_you_mean
from hpo.studyfile import Study

_SCALES = {"linear": "linear", "log": "log", "complement": "log of 1 - value"}


def space(study: Study) -> Table:
    """What varies, how, and under which choice."""
    table = columns("parameter", "values", "scale", "only if", title=f"space of {study.name}")
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
    ends = "all points" if search.sampler == "grid" else "as many trials as the budget allows"
    trials = f"{search.trials} trials" if search.trials else ends
    return f"{study.name}: valid; {count} parameters, sampler {search.sampler}, {trials}"


def configs(draws: Sequence[Draw]) -> Table:
    """What each draw chose, one row a trial."""
    table = columns("trial", "parameters", title=f"the first {len(draws)} configs")
    for number, drawn in enumerate(draws):
        table.add_row(str(number), escape(params_line(drawn.params)))
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
        table = columns("part", "setting", "range", "default", "what it is", title=name)
        for part in classes:
            _part(table, part)
        yield table


def _part(table: Table, part: type[BaseModel]) -> None:
    fields = {n: info for n, info in part.model_fields.items() if n != "kind"}
    summary = (part.__doc__ or "").strip().splitlines()[0]
    reference = getattr(part, "reference", "")
    about = f"{summary} {reference}".strip()
    table.add_row(escape(_name(part)), "", "", "", escape(about), style="bold")
    for setting, info in fields.items():
        table.add_row(
            "", setting, escape(_bounds(info)), escape(_default(info)), info.description or ""
        )


def _name(part: type[BaseModel]) -> str:
    kind = part.model_fields.get("kind")
    return str(kind.default) if kind is not None and kind.default else part.__name__


def _bounds(info: FieldInfo) -> str:
    """What may be written: `[0, 1)`, or the alternatives, or the type."""
    return _range(info.metadata) or _written(info.annotation)


def _range(metadata: Iterable[object]) -> str:
    found: dict[str, Any] = {}
    for mark in metadata:
        found |= {name: getattr(mark, name) for name in _SIDES if hasattr(mark, name)}
    low = next((_SIDES[name].format(found[name]) for name in ("gt", "ge") if name in found), "")
    high = next((_SIDES[name].format(found[name]) for name in ("lt", "le") if name in found), "")
    return f"{low or '(-inf'}, {high or 'inf)'}" if low or high else ""


_SIDES = {"gt": "({:g}", "ge": "[{:g}", "lt": "{:g})", "le": "{:g}]"}


def _written(annotation: Any) -> str:
    """What may be written for a type."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        kind, *marks = arguments
        metadata = (each for m in marks for each in getattr(m, "metadata", [m]))
        return _range(metadata) or _written(kind)
    if origin is Literal:
        return " | ".join(map(str, arguments))
    if origin in (Union, UnionType):
        return " | ".join(map(_written, arguments))
    if origin is tuple:
        return f"list of {_written(arguments[0])}"
    if origin is dict:
        return f"{_written(arguments[1])} by name"
    if isclass(annotation) and issubclass(annotation, BaseModel):
        return _name(annotation)
    return _TYPES[annotation]


_TYPES = {
    bool: "true | false",
    int: "whole number",
    float: "number",
    str: "text",
    type(None): "null",
}


def _default(info: FieldInfo) -> str:
    if info.is_required() or info.default is PydanticUndefined:
        return "required" if info.is_required() else ""
    value = info.default
    return type(value).__name__ if isinstance(value, BaseModel) else digits_or_text(value)


def digits_or_text(value: Json) -> str:
    return str(value) if isinstance(value, (tuple, list)) else digits(value)


def _values(parameter: Parameter) -> str:
    if isinstance(parameter, Choices):
        return escape(" | ".join(parameter.labels))
    step = f" by {digits(parameter.step)}" if parameter.step else ""
    return f"{digits(parameter.low)} to {digits(parameter.high)}{step}"


def _scale(parameter: Parameter) -> str:
    if isinstance(parameter, Choices):
        return "choice"
    kind = "whole, " if parameter.integer else ""
    return kind + _SCALES[parameter.scale]


def _given(here: Located) -> str:
    return ", ".join(f"{choices.name} is {choices.labels[i]}" for choices, i in here.given)


def columns(*names: str, title: str | None = None) -> Table:
    """An empty table without lines."""
    table = Table(title=title, title_justify="left", box=None, header_style="dim", pad_edge=False)
    for name in names:
        table.add_column(name, overflow="fold")
    return table
