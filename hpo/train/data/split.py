"""Three-way splits: training, validation for the search, and test for the very end."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from hpo.lazy import lazy
from hpo.train.settings import Settings

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy("numpy")


class Shares(Settings):
    """Shares of the rows; what is left is for training."""

    validation: float = Field(0.2, gt=0, lt=1, description="share of the rows trials compare on")
    test: float = Field(0.2, gt=0, lt=1, description="share that only the best trial is tested on")

    @model_validator(mode="after")
    def _leaves_something(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(
                f"validation + test < 1 must hold, got {self.validation} + {self.test}: "
                "nothing would be left to train on"
            )
        return self

    @abstractmethod
    def indices(self, strata: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows of the training, validation and test split, each in order.

        Args:
            strata: what to balance, int [N]: the classes, or zeros.
        """

    def _cuts(self, rows: int) -> tuple[int, int]:
        """How many rows are for the test, and for test and validation together."""
        test = round(self.test * rows)
        return test, test + round(self.validation * rows)


class Split(Shares):
    """A shuffle that spreads every stratum over the splits as evenly as whole rows allow.

    The seed is the data's own: all trials of a study must see the same split.
    """

    seed: int = Field(0, ge=0, lt=2**32, description="of the shuffle before the split")

    def indices(self, strata: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows = np.random.default_rng(self.seed).permutation(len(strata))
        by_stratum = rows[np.argsort(strata[rows], kind="stable")]
        counts = np.bincount(strata)
        starts = np.repeat(np.cumsum(counts) - counts, counts)
        rank = np.arange(len(rows)) - starts
        # Ordered by how far each row is through its own stratum, any cut cuts all strata alike.
        order = np.argsort((rank + 0.5) / np.repeat(counts, counts), kind="stable")
        test, validation, train = np.split(by_stratum[order], self._cuts(len(rows)))
        return np.sort(train), np.sort(validation), np.sort(test)


class InOrder(Shares):
    """A cut by position: the first rows are for training, then come validation and test."""

    def indices(self, strata: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        test, held_out = self._cuts(len(strata))
        rows = np.arange(len(strata))
        train, validation, last = np.split(rows, [len(rows) - held_out, len(rows) - test])
        return train, validation, last
