"""The three-way split: training, validation for the search, and test for the very end."""

from __future__ import annotations

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


class Split(Settings):
    """Shares of the rows; what is left is for training.

    Data that bring their own test split are shared between training and validation alone.

    The seed is the data's own: all trials of a study must see the same split.
    """

    validation: float = Field(0.2, gt=0, lt=1, description="share of the rows trials compare on")
    test: float | None = Field(
        None,
        gt=0,
        lt=1,
        description=f"share that only the best trial is tested on; default: {TEST}, or the rows "
        "that the data keep for that themselves",
    )
    seed: int = Field(0, ge=0, lt=2**32, description="of the shuffle before the split")

    @model_validator(mode="after")
    def _leaves_something(self) -> Self:
        test = TEST if self.test is None else self.test
        if self.validation + test >= 1:
            raise ValueError(
                f"validation + test < 1 must hold, got {self.validation} + {test}: "
                "nothing would be left to train on"
            )
        return self

    def indices(
        self, strata: np.ndarray, test_rows: int = 0
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows of the training, validation and test split.

        Every stratum is spread over the splits as evenly as whole rows allow.

        Args:
            strata: what to balance, int [N]: the classes, or zeros.
            test_rows: so many at the end are the test split, if there are any.
        """
        strata, own_test = np.split(strata, [len(strata) - test_rows])
        share = 0 if test_rows else TEST if self.test is None else self.test
        rows = np.random.default_rng(self.seed).permutation(len(strata))
        by_stratum = rows[np.argsort(strata[rows], kind="stable")]
        counts = np.bincount(strata)
        starts = np.repeat(np.cumsum(counts) - counts, counts)
        rank = np.arange(len(rows)) - starts
        # Ordered by how far each row is through its own stratum, any cut cuts all strata alike.
        order = np.argsort((rank + 0.5) / np.repeat(counts, counts), kind="stable")
        num_test = round(share * len(rows))
        num_held_out = num_test + round(self.validation * len(rows))
        test, validation, train = np.split(by_stratum[order], [num_test, num_held_out])
        test = np.concatenate([test, len(rows) + np.arange(len(own_test))])
        return np.sort(train), np.sort(validation), np.sort(test)
