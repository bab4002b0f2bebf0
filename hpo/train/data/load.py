"""From the settings of a data set to scaled splits."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from hpo.errors import DataError
from hpo.lazy import lazy
from hpo.train.data.base import DataPart, Examples
from hpo.train.data.checks import (
    check_every_class,
    check_numbers,
    decide_task,
    encode_classes,
    join_test,
)
from hpo.train.data.scaling import Scaler, fit_scaler
from hpo.train.data.several import described, each_target
from hpo.train.task import SCORES, Target, Task, Window

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy("numpy")


@dataclass(frozen=True, slots=True)
class Arrays:
    """One split: inputs float64 [N, ...], targets int64 [N] or float64 [N, D].

    Of several targets of different kinds, those of one after those of the other, as in `Target`. Of
    a text, characters int64 [N, L], and those that come next.
    """

    x: np.ndarray
    y: np.ndarray

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True, slots=True)
class Splits:
    """A data set ready to train on.

    Args:
        inputs: the shape of one scaled example: (features,), (channels, length), (channels, height,
            width) or a window of a text.
        outputs: classes, or numbers per row of the targets.
        scale_inputs, scale_targets: what was done to all x and y. Only numbers to predict are
            standardised; inputs to reconstruct are scaled already, classes and characters are none.
        num_scored: how many targets of a row are validated and tested; `None`: all.
        targets: where they may be of different kinds, each of them.
        vocabulary: of a text, each character at the place of its number.
        num_train: rows of the training split alone, in a refit, too.
    """

    task: Task
    inputs: tuple[int, ...]
    outputs: int
    train: Arrays
    validation: Arrays
    scale_inputs: Scaler
    scale_targets: Scaler
    num_scored: int | None
    targets: tuple[Target, ...]
    vocabulary: str
    num_train: int
    _test: Arrays

    @property
    def scores(self) -> tuple[str, ...]:
        """What a split is scored by beside its loss, by name.

        Of several targets of different kinds the first has the name that it would have alone.
        """
        if not self.targets:
            return (SCORES[self.task],)
        main, *others = self.targets[: self.num_scored]
        return (main.score, *(f"{target.name}_{target.score}" for target in others))

    def test(self) -> Arrays:
        """The test split. A method, so that nothing takes it along with the others by accident."""
        return self._test


def load(data: DataPart, folder: Path, refit: bool = False) -> Splits:
    """Reads, checks, splits and scales a data set.

    Args:
        folder: where relative paths count from.
        refit: whether the rows of the validation split are trained on, too.

    Raises:
        DataError: it cannot be read, or cannot be trained on.
    """
    version = data.version(folder)
    if version is None:
        return _scaled(_read(data, folder), data, refit)
    return _load_once(data, folder, refit, version)


def fingerprint(data: DataPart, folder: Path) -> dict[str, str]:
    """SHA-256 of the rows in each split, as they are before scaling.

    Raises:
        DataError: it cannot be read, or cannot be trained on.
    """
    version = data.version(folder)
    if version is None:
        return _digests(_read(data, folder))
    return dict(_digests_once(data, folder, version))


@lru_cache(maxsize=1)
def _digests_once(data: DataPart, folder: Path, version: tuple[int, ...]) -> dict[str, str]:
    return _digests(_read(data, folder))


def _digests(raw: _Raw) -> dict[str, str]:
    digests = {}
    for name, rows in zip(("train", "validation", "test"), raw.rows, strict=True):
        digest = hashlib.sha256()
        for array in (raw.x[rows], raw.y[rows]):
            digest.update(f"{array.dtype.str} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array).data)
        digests[name] = digest.hexdigest()
    return digests


@lru_cache(maxsize=1)
def _load_once(data: DataPart, folder: Path, refit: bool, version: tuple[int, ...]) -> Splits:
    return _scaled(_read(data, folder), data, refit)


@dataclass(frozen=True, slots=True)
class _Raw:
    """A data set that was checked and split.

    Args:
        x, y: as in `Arrays`, before scaling.
        rows: of the training, validation and test split.
    """

    task: Task
    x: np.ndarray
    y: np.ndarray
    outputs: int
    rows: tuple[np.ndarray, np.ndarray, np.ndarray]
    vocabulary: str = ""
    targets: tuple[Target, ...] = ()


def _read(data: DataPart, folder: Path) -> _Raw:
    examples, known = data.read(folder), data.known_task()
    if known == "reconstruction":
        examples = _inputs_as_targets(examples)
    examples, test_rows = join_test(examples)
    task = known or decide_task(examples)
    x = examples.x if task == "next_character" else _with_channels(examples)
    parts = each_target(examples) if task == "multitask" else [replace(examples, task=task)]
    codes = [encode_classes(one) if one.task == "classification" else None for one in parts]

    strata = np.zeros(len(x), np.int64) if codes[0] is None else codes[0]
    rows = data.split.indices(strata, test_rows)
    train, validation, test = rows
    if not (len(train) and len(validation) and len(test)):
        raise DataError(
            f"{examples.place}: each split needs rows, {len(x)} rows make {len(train)} for "
            f"training, {len(validation)} for validation and {len(test)} for test",
            "give more rows, or other shares under data.split",
        )
    for one, own in zip(parts, codes, strict=True):
        if own is not None:
            check_every_class(one, own, train, test_rows)

    y = _targets(task, x, parts, codes)
    if task == "next_character":
        return _Raw(task, x, y, len(examples.vocabulary), rows, examples.vocabulary)
    outputs = int(y.max()) + 1 if task == "classification" else y.shape[1]
    return _Raw(task, x, y, outputs, rows, targets=described(examples))


def _inputs_as_targets(examples: Examples) -> Examples:
    test = None if examples.test is None else _inputs_as_targets(examples.test)
    return replace(examples, y=examples.x, target="x", test=test)


def _with_channels(examples: Examples) -> np.ndarray:
    """Inputs as float64 [N, features], [N, channels, length] or [N, channels, height, width]."""
    x = examples.x.astype(np.float64)
    return x[:, None] if x.ndim == (2 if examples.series else 3) else x


def _targets(
    task: Task, x: np.ndarray, parts: Sequence[Examples], codes: Sequence[np.ndarray | None]
) -> np.ndarray:
    """As in `Arrays`, before scaling.

    Args:
        parts: the targets one by one.
        codes: of those that are classes, int64 [N].
    """
    if task == "reconstruction":
        return x.reshape(len(x), -1)
    if task == "next_character":
        return parts[0].y
    if task == "classification":
        assert codes[0] is not None
        return codes[0]
    return np.concatenate(
        [
            check_numbers(one) if own is None else np.eye(own.max() + 1)[own]
            for one, own in zip(parts, codes, strict=True)
        ],
        axis=1,
    )


def _scaled(raw: _Raw, data: DataPart, refit: bool) -> Splits:
    train, validation, test = raw.rows
    if refit:
        train = np.sort(np.concatenate([train, validation]))
    scale_x = fit_scaler(raw.x[train], data.scaling)
    scale_y = _fit_targets(raw, train)
    x = raw.x if raw.task == "next_character" else scale_x(raw.x)
    if raw.task in ("regression", "multitask"):
        y = scale_y(raw.y)
    elif raw.task == "reconstruction":
        y = x.reshape(len(x), -1)
    else:
        y = raw.y
    scorable = raw.outputs if raw.task == "regression" else len(raw.targets)
    splits = [Arrays(x[rows], y[rows]) for rows in (train, validation, test)]
    return Splits(
        task=raw.task,
        inputs=Window(x.shape[1], raw.outputs) if raw.vocabulary else x.shape[1:],
        outputs=raw.outputs,
        train=splits[0],
        validation=splits[1],
        scale_inputs=scale_x,
        scale_targets=scale_y,
        num_scored=data.num_scored(scorable),
        targets=raw.targets,
        vocabulary=raw.vocabulary,
        num_train=len(raw.rows[0]),
        _test=splits[2],
    )


def _fit_targets(raw: _Raw, train: np.ndarray) -> Scaler:
    """A target in large units would make every learning rate and penalty mean something else."""
    if raw.task not in ("regression", "multitask"):
        return fit_scaler(raw.y[train], "none")
    scaler = fit_scaler(raw.y[train], "zscore")
    if raw.task == "regression":
        return scaler
    number = np.concatenate([[not target.classes] * target.outputs for target in raw.targets])
    return Scaler(np.where(number, scaler.offset, 0.0), np.where(number, scaler.scale, 1.0))
