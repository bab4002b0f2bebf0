"""From the settings of a data set to scaled splits."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from hpo.errors import DataError
from hpo.lazy import lazy
from hpo.train.data.base import DataPart
from hpo.train.data.checks import check_numbers, decide_task, encode_classes, join_test
from hpo.train.data.scaling import Scaler, fit_scaler
from hpo.train.task import Task

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy("numpy")


@dataclass(frozen=True, slots=True)
class Arrays:
    """One split: inputs float64 [N, ...], targets int64 [N] or float64 [N, D]."""

    x: np.ndarray
    y: np.ndarray

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True, slots=True)
class Splits:
    """A data set ready to train on.

    Args:
        inputs: the shape of one scaled example: (features,) or (channels, height, width).
        outputs: classes, or targets per row.
        scale_inputs, scale_targets: what was done to all x and y; targets are standardised in a
            regression and left alone in a classification.
    """

    task: Task
    inputs: tuple[int, ...]
    outputs: int
    train: Arrays
    validation: Arrays
    scale_inputs: Scaler
    scale_targets: Scaler
    _test: Arrays

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
        x: float64 [N, ...].
        y: as in `Arrays`.
        rows: of the training, validation and test split.
    """

    task: Task
    x: np.ndarray
    y: np.ndarray
    outputs: int
    rows: tuple[np.ndarray, np.ndarray, np.ndarray]


def _read(data: DataPart, folder: Path) -> _Raw:
    examples, test_rows = join_test(data.read(folder))
    task = decide_task(examples)
    x = examples.x.astype(np.float64)
    x = x[:, None] if x.ndim == 3 else x
    if task == "classification":
        y = encode_classes(examples)
        strata, outputs = y, int(y.max()) + 1
    else:
        y = check_numbers(examples)
        strata, outputs = np.zeros(len(y), dtype=np.int64), y.shape[1]

    train, validation, test = data.split.indices(strata, test_rows)
    if not (len(train) and len(validation) and len(test)):
        raise DataError(
            f"{examples.place}: each split needs rows, {len(x)} rows make {len(train)} for "
            f"training, {len(validation)} for validation and {len(test)} for test",
            "give more rows, or other shares under data.split",
        )
    if task == "classification" and len(np.unique(y[train])) < outputs:
        or_else = "no test row of them" if test_rows else "smaller shares under data.split"
        lacking = np.unique(examples.y)[np.setdiff1d(y, y[train])[0]]
        raise DataError(
            f"{examples.place}: the training split must have every class, "
            f"it has {len(np.unique(y[train]))} of {outputs} in {len(train)} rows, not {lacking!s}",
            f"give more rows of the rare classes to train on, or {or_else}",
        )
    return _Raw(task, x, y, outputs, (train, validation, test))


def _scaled(raw: _Raw, data: DataPart, refit: bool) -> Splits:
    train, validation, test = raw.rows
    if refit:
        train = np.sort(np.concatenate([train, validation]))
    scale_x = fit_scaler(raw.x[train], data.scaling)
    # A target in large units would make every learning rate and penalty mean something else.
    scale_y = fit_scaler(raw.y[train], "none" if raw.task == "classification" else "zscore")
    y = raw.y if raw.task == "classification" else scale_y(raw.y)
    splits = [Arrays(scale_x(raw.x[rows]), y[rows]) for rows in (train, validation, test)]
    return Splits(
        task=raw.task,
        inputs=splits[0].x.shape[1:],
        outputs=raw.outputs,
        train=splits[0],
        validation=splits[1],
        scale_inputs=scale_x,
        scale_targets=scale_y,
        _test=splits[2],
    )
