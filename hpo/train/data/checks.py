"""What is refused about a data set, before anything is trained on it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hpo.errors import DataError
from hpo.lazy import lazy
from hpo.train.data.base import Examples
from hpo.train.data.several import each_target
from hpo.train.task import Task

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy("numpy")

MAX_AUTO_CLASSES = 50


def check_examples(examples: Examples) -> None:
    """Raises DataError unless x and y are numbers of matching shapes, finite and varying."""
    x, y, place = examples.x, examples.y, examples.place
    if x.ndim < 2:
        raise DataError(
            f"{place}: x must be [N, features], images or series, got shape {x.shape}",
            "for a single feature give x as [N, 1]",
        )
    if examples.series and x.ndim > 3:
        raise DataError(
            f"{place}: series must be [N, length] or [N, channels, length], got x of shape "
            f"{x.shape}",
            "leave data.series out if these are images",
        )
    if x.ndim > 4:
        raise DataError(
            f"{place}: x must be [N, features], [N, height, width] or [N, channels, height, "
            f"width], got shape {x.shape}",
            "flatten what is more than that: x.reshape(len(x), -1)",
        )
    if len(x) != len(y):
        raise DataError(
            f"{place}: x and y must have equally many rows, got {len(x)} and {len(y)}",
            "check that both were filtered the same way",
        )
    if len(x) == 0 or x.size == 0:
        raise DataError(
            f"{place}: there must be rows and features, got x of shape {x.shape}",
            "check that the file is the right one and was written completely",
        )
    if x.dtype.kind not in "biuf":
        raise DataError(
            f"{place}: x must be numbers, got {x.dtype}",
            "encode text as numbers first (one column for each category, say)",
        )
    targets = [examples] if y.dtype.names is None else each_target(examples)
    for alone in targets:
        if alone.y.dtype.kind not in "biufUS":
            raise DataError(
                f"{place}: {alone.target} must be numbers or text, got {alone.y.dtype}",
                "give classes as integers or strings, other targets as floats",
            )
    _check_finite(x, examples)
    for alone in targets:
        if alone.y.dtype.kind == "f":
            _check_finite(alone.y, alone, target=True)
    if not examples.constant_columns:
        _check_varying(x, examples)
    elif np.ptp(x.astype(np.float64)) == 0:
        raise DataError(
            f"{place}: x must vary, every value is {x.flat[0]}",
            "nothing can be learned from it; check how it was written",
        )


def join_test(examples: Examples) -> tuple[Examples, int]:
    """All rows, those of a test split of its own last, and how many these are.

    Raises:
        DataError: they cannot be used, or the two are not alike.
    """
    check_examples(examples)
    test = examples.test
    if test is None:
        return examples, 0
    check_examples(test)
    for name in ("x", "y"):
        ours, theirs = getattr(examples, name), getattr(test, name)
        if ours.shape[1:] != theirs.shape[1:] or _kind(ours) != _kind(theirs):
            raise DataError(
                f"{test.place}: {name} of the test split must be as in {examples.place}, rows of"
                f" shape {ours.shape[1:]} and {ours.dtype}, got {theirs.shape[1:]} and"
                f" {theirs.dtype}",
                "prepare both in the same way",
            )
    x = np.concatenate([examples.x, test.x])
    y = np.concatenate([examples.y, test.y])
    return replace(examples, x=x, y=y, test=None), len(test.x)


def _kind(array: np.ndarray) -> object:
    """Whole numbers, with a sign or without one, floats, booleans or text; of all fields."""
    if array.dtype.names is not None:
        return {name: _kind(array[name]) for name in array.dtype.names}
    return array.dtype.kind.replace("u", "i")


def decide_task(examples: Examples) -> Task:
    """What the targets are: as given, or by their type."""
    if examples.task != "auto":
        return examples.task
    if examples.y.dtype.names is not None:
        return "multitask"
    if examples.y.dtype.kind == "f" or examples.y.ndim > 1:
        return "regression"
    if examples.y.dtype.kind in "iu" and len(np.unique(examples.y)) > MAX_AUTO_CLASSES:
        return "regression"
    return "classification"


def encode_classes(examples: Examples) -> np.ndarray:
    """Classes as int64 [N], numbered from 0 in sorted order."""
    y, place, target = examples.y, examples.place, examples.target
    if y.ndim != 1:
        raise DataError(
            f"{place}: classes must be one per row, got {target} of shape {y.shape}",
            "turn one-hot rows into class numbers: y.argmax(1); for numbers set task: regression",
        )
    classes, codes = np.unique(y, return_inverse=True)
    counts = np.bincount(codes)
    if len(classes) < 2:
        raise DataError(
            f"{place}: {target} must have at least two classes, every row is {classes[0]!s}",
            "check that the file has all classes and the target is the right one",
        )
    if counts.min() < 3:
        rare = [f"{classes[i]!s} ({counts[i]})" for i in np.flatnonzero(counts < 3)]
        raise DataError(
            f"{place}: each class of {target} needs 3 rows or more, one for each split; "
            f"fewer have {_few(rare)}",
            "merge rare classes or leave them out; if the targets are numbers, set "
            "task: regression",
        )
    return codes.astype(np.int64)


def check_every_class(
    examples: Examples, codes: np.ndarray, train: np.ndarray, test_rows: int
) -> None:
    """Raises DataError unless the training split has all classes.

    Args:
        codes: of the classes, int64 [N].
        train: the rows of the training split.
        test_rows: how many rows came as a test split of their own.
    """
    classes, seen = np.unique(examples.y), np.unique(codes[train])
    if len(seen) == len(classes):
        return
    or_else = "no test row of them" if test_rows else "smaller shares under data.split"
    lacking = classes[np.setdiff1d(codes, seen)[0]]
    raise DataError(
        f"{examples.place}: the training split must have every class, it has {len(seen)} of "
        f"{len(classes)} in {len(train)} rows, not {lacking!s} of {examples.target}",
        f"give more rows of the rare classes to train on, or {or_else}",
    )


def check_numbers(examples: Examples) -> np.ndarray:
    """Targets of a regression as float64 [N, D]."""
    y, place, target = examples.y, examples.place, examples.target
    if y.dtype.kind not in "biuf":
        raise DataError(
            f"{place}: task regression needs numbers in {target}, got {y.flat[0]!r}",
            "set task: classification if these are classes",
        )
    if y.ndim > 2:
        raise DataError(
            f"{place}: targets must be [N] or [N, D], got {target} of shape {y.shape}",
            "flatten each row's targets: y.reshape(len(y), -1)",
        )
    numbers = y.reshape(len(y), -1).astype(np.float64)
    if (np.ptp(numbers, axis=0) == 0).any():
        raise DataError(
            f"{place}: {target} must vary, every row is {numbers[0].tolist()}",
            "check that the target is the right one",
        )
    return numbers


def _check_finite(values: np.ndarray, examples: Examples, target: bool = False) -> None:
    bad = ~np.isfinite(values)
    if not bad.any():
        return
    rows = bad.reshape(len(bad), -1)
    row, column = (int(i) for i in np.argwhere(rows)[0])
    if target:
        where = examples.target
    elif examples.columns:
        where = f"column {examples.columns[column]!r}"
    else:
        where = f"x column {column}" if values.ndim == 2 else f"x at {column} of each flat example"
    raise DataError(
        f"{examples.place}: values must be finite, got {int(bad.sum())} NaN or infinity in "
        f"{int(rows.any(axis=1).sum())} rows, the first in {where}, row {row} (from 0)",
        "fill in or drop what is missing before training",
    )


def _check_varying(x: np.ndarray, examples: Examples) -> None:
    constant = np.flatnonzero(np.ptp(x, axis=0) == 0)
    if len(constant):
        names = [repr(examples.columns[i]) for i in constant]
        raise DataError(
            f"{examples.place}: columns must vary, {_few(names)} never do",
            "drop them from the file, or list the columns to use under data.features",
        )


def _few(names: list[str], limit: int = 5) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
