"""Several targets of a row, of which each is a class or a number."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from hpo.errors import DataError
from hpo.lazy import lazy
from hpo.train.data.base import Examples, UserData
from hpo.train.task import Target

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy("numpy")

NUMBERS = "iuf"
"""Kinds of columns that are numbers unless they are said to be classes; text and booleans never."""


def combined(columns: Mapping[str, np.ndarray], data: UserData, place: str) -> np.ndarray:
    """All targets of the rows as one array.

    Args:
        columns: by name, the main one first.
        data: says what they are.

    Returns:
        A single one as it is; numbers alone as [N, D]; others as fields of their own, structured
        [N].

    Raises:
        DataError: they do not fit one another, or what the data are said to be.
    """
    if len(columns) == 1:
        (column,) = columns.values()
        if column.dtype.names is None:
            return column
        columns = {name: column[name] for name in column.dtype.names}
    rows = {len(column) for column in columns.values()}
    if len(rows) > 1 or any(column.ndim > 1 for column in columns.values()):
        shapes = ", ".join(f"{name} {column.shape}" for name, column in columns.items())
        raise DataError(
            f"{place}: of several targets each must be [N], got {shapes}",
            "give each a value for every row, and columns of a matrix one by one",
        )
    if data.task == "classification":
        raise DataError(
            f"{place}: classes must be one per row, got {len(columns)} targets: "
            f"{', '.join(columns)}",
            "leave data.task out; name under data.classes which are classes, beside those that are "
            "text",
        )
    if unknown := [name for name in data.classes if name not in columns]:
        nearest = difflib.get_close_matches(unknown[0], columns, n=1)
        raise DataError(
            f"{place}: data.classes must name targets, {unknown[0]!r} is none",
            f"did you mean {nearest[0]!r}?" if nearest else f"they are: {', '.join(columns)}",
        )
    others = {n: column for n, column in columns.items() if column.dtype.kind not in NUMBERS}
    text = [name for name, column in others.items() if column.dtype.kind != "b"]
    if data.task == "regression" and text:
        raise DataError(
            f"{place}: several targets must all be numbers for task regression, {text[0]!r} has "
            f"{str(columns[text[0]].flat[0])!r}",
            "leave data.task out: text is taken for classes",
        )
    if data.task == "regression" or not (others or data.known_task() == "multitask"):
        return np.column_stack(list(columns.values()))
    fields = [(name, column.dtype) for name, column in columns.items()]
    together = np.empty(rows.pop(), fields)
    for name, column in columns.items():
        together[name] = column
    return together


def each_target(examples: Examples) -> list[Examples]:
    """The examples with each of several targets alone, and what that one is.

    Raises:
        DataError: they have no names, or there is one.
    """
    if examples.y.dtype.names is None:
        raise DataError(
            f"{examples.place}: data.classes and task multitask are for several targets, each with "
            f"a name, got {examples.target} of shape {examples.y.shape}",
            "list columns under data.target, arrays or files under data.y, or return y as a dict; "
            "of a single target say in data.task what it is",
        )
    return [
        replace(
            examples,
            y=column,
            target=f"target {name!r}",
            task="classification"
            if name in examples.classes or column.dtype.kind not in NUMBERS
            else "regression",
        )
        for name, column in ((name, examples.y[name]) for name in examples.y.dtype.names)
    ]


def described(examples: Examples) -> tuple[Target, ...]:
    """Each of several targets that may be of different kinds; none of others."""
    if examples.y.dtype.names is None:
        return ()
    return tuple(
        Target(name, tuple(np.unique(one.y).tolist()) if one.task == "classification" else ())
        for name, one in zip(examples.y.dtype.names, each_target(examples), strict=True)
    )
