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


TEST = 0.2
"""Share of the test split, where nothing else is said."""


class Shares(Settings):
    """Shares of the rows; what is left is for training.

    Data that bring their own test split are shared between training and validation alone.
    """

    validation: float = Field(0.2, gt=0, lt=1, description="share of the rows trials compare on")
    test: float | None = Field(
        None,
        gt=0,
        lt=1,
        description=f"share that only the best trial is tested on; default: {TEST}, or the rows "
        "that the data keep for that themselves",
    )

    @model_validator(mode="after")
    def _leaves_something(self) -> Self:
        test = self._test_share
        if self.validation + test >= 1:
            raise ValueError(
                f"validation + test < 1 must hold, got {self.validation} + {test}: "
                "nothing would be left to train on"
            )
        return self

    @property
    def _test_share(self) -> float:
        return TEST if self.test is None else self.test

    def indices(
        self, strata: np.ndarray, test_rows: int = 0
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows of the training, validation and test split, each in order.

        Args:
            strata: what to balance, int [N]: the classes, or zeros.
            test_rows: so many at the end are the test split, if there are any.
        """
        shared = len(strata) - test_rows
        num_test = 0 if test_rows else round(self._test_share * shared)
        num_held_out = num_test + round(self.validation * shared)
        train, validation, test = self._cut(strata[:shared], num_test, num_held_out)
        return train, validation, np.concatenate([test, np.arange(shared, len(strata))])

    @abstractmethod
    def _cut(
        self, strata: np.ndarray, num_test: int, num_held_out: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As `indices`, for rows of which so many are for the test, and for test and validation
        together."""


class Split(Shares):
    """A shuffle that spreads every stratum over the splits as evenly as whole rows allow.

    The seed is the data's own: all trials of a study must see the same split.
    """

    seed: int = Field(0, ge=0, lt=2**32, description="of the shuffle before the split")

    def _cut(
        self, strata: np.ndarray, num_test: int, num_held_out: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows = np.random.default_rng(self.seed).permutation(len(strata))
        by_stratum = rows[np.argsort(strata[rows], kind="stable")]
        counts = np.bincount(strata)
        starts = np.repeat(np.cumsum(counts) - counts, counts)
        rank = np.arange(len(rows)) - starts
        # Ordered by how far each row is through its own stratum, any cut cuts all strata alike.
        order = np.argsort((rank + 0.5) / np.repeat(counts, counts), kind="stable")
        test, validation, train = np.split(by_stratum[order], [num_test, num_held_out])
        return np.sort(train), np.sort(validation), np.sort(test)


class InOrder(Shares):
    """A cut by position: the first rows are for training, then come validation and test."""

    def _cut(
        self, strata: np.ndarray, num_test: int, num_held_out: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows = np.arange(len(strata))
        cuts = [len(rows) - num_held_out, len(rows) - num_test]
        train, validation, test = np.split(rows, cuts)
        return train, validation, test
