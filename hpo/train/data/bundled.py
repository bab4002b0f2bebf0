from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from hpo.errors import DataError
from hpo.train.data.base import Examples, RowData
from hpo.train.task import Task

if TYPE_CHECKING:
    import numpy as np

Name = Literal["digits", "wine", "breast_cancer", "iris", "diabetes"]


class Sklearn(RowData):
    """A data set that comes with scikit-learn; digits are images of 1 x 8 x 8."""

    reference: ClassVar[str] = "https://scikit-learn.org/stable/datasets/toy_dataset.html"

    kind: Literal["sklearn"] = "sklearn"
    name: Name = Field(description="which one; all but diabetes are classification")

    def version(self, folder: Path) -> tuple[int, ...]:
        return ()  # comes with scikit-learn

    def read(self, folder: Path) -> Examples:
        x, y = _read(self.name)
        return Examples(x, y, self.known_task(), f"sklearn {self.name}")

    def known_task(self) -> Task:
        if self.targets == "inputs":
            return "reconstruction"
        return "regression" if self.name == "diabetes" else "classification"


# Parsing takes longer than many a trial on these sets.
@lru_cache(maxsize=2)
def _read(name: Name) -> tuple[np.ndarray, np.ndarray]:
    try:
        from sklearn import datasets  # type: ignore[import-untyped]
    except ModuleNotFoundError:
        raise DataError(
            "data kind sklearn needs scikit-learn, which is not installed",
            "install it: pip install scikit-learn",
        ) from None
    bunch = getattr(datasets, f"load_{name}")()
    x = bunch.images[:, None] if name == "digits" else bunch.data
    for array in (x, bunch.target):
        array.flags.writeable = False
    return x, bunch.target
