"""From the settings of a data set to scaled splits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from hpo.errors import DataError
from hpo.lazy import lazy
from hpo.train.data.base import DataPart
from hpo.train.data.checks import check_examples, check_numbers, decide_task, encode_classes
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
        inputs: the shape of one example: (features,) or (channels, height, width).
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


def load(data: DataPart, folder: Path) -> Splits:
    """Reads, checks, splits and scales a data set.

    Args:
        folder: where relative paths count from.

    Raises:
        DataError: it cannot be read, or cannot be trained on.
    """
    version = data.version(folder)
    if version is None:
        return _load(data, folder)
    return _load_once(data, folder, version)


@lru_cache(maxsize=1)
def _load_once(data: DataPart, folder: Path, version: tuple[int, ...]) -> Splits:
    return _load(data, folder)


def _load(data: DataPart, folder: Path) -> Splits:
    examples = data.read(folder)
    check_examples(examples)
    task = decide_task(examples)
    x = examples.x.astype(np.float64)
    x = x[:, None] if x.ndim == 3 else x
    if task == "classification":
        y = encode_classes(examples)
        strata, outputs = y, int(y.max()) + 1
    else:
        y = check_numbers(examples)
        strata, outputs = np.zeros(len(y), dtype=np.int64), y.shape[1]

    train, validation, test = data.split.indices(strata)
    if not (len(train) and len(validation) and len(test)):
        raise DataError(
            f"{examples.place}: each split needs rows, {len(x)} rows make {len(train)} for "
            f"training, {len(validation)} for validation and {len(test)} for test",
            "give more rows, or other shares under data.split",
        )
    if task == "classification" and len(np.unique(y[train])) < outputs:
        raise DataError(
            f"{examples.place}: the training split must have every class, "
            f"it has {len(np.unique(y[train]))} of {outputs} in {len(train)} rows",
            "give more rows of the rare classes, or smaller shares under data.split",
        )

    scale_x = fit_scaler(x[train], data.scaling)
    # A target in large units would make every learning rate and penalty mean something else.
    scale_y = fit_scaler(y[train], "none" if task == "classification" else "zscore")
    y = y if task == "classification" else scale_y(y)
    splits = [Arrays(scale_x(x[rows]), y[rows]) for rows in (train, validation, test)]
    return Splits(task, x.shape[1:], outputs, splits[0], splits[1], scale_x, scale_y, splits[2])
