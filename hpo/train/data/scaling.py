"""Scaling of inputs and targets, fitted on the training split alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hpo.lazy import lazy

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy("numpy")

Scaling = Literal["zscore", "minmax", "none"]


@dataclass(frozen=True, slots=True)
class Scaler:
    """(values - offset) / scale; both broadcast with one example."""

    offset: np.ndarray
    scale: np.ndarray

    def __call__(self, values: np.ndarray) -> np.ndarray:
        scaled: np.ndarray = (values - self.offset) / self.scale
        return scaled


def fit_scaler(values: np.ndarray, scaling: Scaling) -> Scaler:
    """z-score (population variance), min-max to [0, 1], or nothing.

    Columns are scaled each on its own, images each channel as a whole: pixels of one channel share
    a unit. What is constant is divided by 1.

    Args:
        values: the training split: columns [N, D], or images [N, channels, height, width].
    """
    shared = (0, *range(2, values.ndim))
    if scaling == "none":
        return Scaler(np.zeros(1), np.ones(1))
    if scaling == "zscore":
        offset = values.mean(axis=shared, keepdims=True)[0]
        scale = values.std(axis=shared, keepdims=True)[0]
        # The mean of equal numbers is not always that number, so their deviation is not always 0.
        constant = np.ptp(values, axis=shared, keepdims=True)[0] == 0
    else:
        offset = values.min(axis=shared, keepdims=True)[0]
        scale = values.max(axis=shared, keepdims=True)[0] - offset
        constant = scale == 0
    return Scaler(offset, np.where(constant, 1.0, scale))
