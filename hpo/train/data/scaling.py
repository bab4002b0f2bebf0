"""Scaling of inputs and targets, fitted on the training split alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hpo.errors import DataError
from hpo.lazy import lazy

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy("numpy")

Scaling = Literal["zscore", "minmax", "pca_whitening", "none"]

LEAST_VARIANCE = 1e-12
"""Of the largest one; directions with less are rounding, not data."""


@dataclass(frozen=True, slots=True)
class Scaler:
    """(values - offset) @ rotation / scale.

    Args:
        offset, scale: broadcast with one example, before and after the rotation.
        rotation: [D, M], or none.
    """

    offset: np.ndarray
    scale: np.ndarray
    rotation: np.ndarray | None = None

    def __call__(self, values: np.ndarray) -> np.ndarray:
        moved = values - self.offset
        turned = moved if self.rotation is None else moved @ self.rotation
        scaled: np.ndarray = turned / self.scale
        return scaled

    def arrays(self) -> dict[str, np.ndarray]:
        """What it is made of, by name."""
        arrays = {"offset": self.offset, "scale": self.scale}
        return arrays if self.rotation is None else {**arrays, "rotation": self.rotation}


def fit_scaler(values: np.ndarray, scaling: Scaling) -> Scaler:
    """z-score (population variance), min-max to [0, 1], PCA whitening, or nothing.

    But for whitening, columns are scaled each on its own, images each channel as a whole: pixels of
    one channel share a unit. What is constant is divided by 1.

    Args:
        values: the training split: columns [N, D], or images [N, channels, height, width].

    Raises:
        DataError: values of this shape cannot be scaled so, or there is nothing to scale.
    """
    shared = (0, *range(2, values.ndim))
    if scaling == "none":
        return Scaler(np.zeros(1), np.ones(1))
    if scaling == "pca_whitening":
        return _whitening(values)
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


def _whitening(values: np.ndarray) -> Scaler:
    """z = L**(-1/2) U^T (x - mean), for the covariance U L U^T (sample variance, N - 1).

    Directions of less than `LEAST_VARIANCE` times the largest variance are dropped, so z may have
    fewer columns than x. Of the two signs of a direction its largest element is positive.
    """
    if values.ndim > 2:
        raise DataError(
            f"data.scaling pca_whitening is for tables, got examples of shape {values.shape[1:]}",
            "use zscore or minmax, or give x as a table: x.reshape(len(x), -1)",
        )
    if np.ptp(values, axis=0).max() == 0:
        raise DataError(
            f"data.scaling pca_whitening needs rows that differ, the {len(values)} of the training "
            "split are all alike",
            "use zscore, or check the data",
        )
    mean = values.mean(axis=0)
    # The factor R of QR has the singular values of the rows, and is as small as the covariance;
    # that would square the rounding errors of small variances.
    factor = np.linalg.qr(values - mean, mode="r")
    _, lengths, directions = np.linalg.svd(factor, full_matrices=False)
    kept = lengths**2 >= LEAST_VARIANCE * lengths[0] ** 2
    directions, lengths = directions[kept], lengths[kept]
    largest = np.take_along_axis(directions, np.abs(directions).argmax(1, keepdims=True), 1)
    rotation = np.ascontiguousarray((directions * np.sign(largest)).T)
    return Scaler(mean, lengths / np.sqrt(len(values) - 1), rotation)
