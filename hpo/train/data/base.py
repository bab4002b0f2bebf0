"""What a data set is to the trainer: settings that can be read into arrays."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from hpo.train.data.scaling import Scaling
from hpo.train.data.split import Split
from hpo.train.settings import Settings
from hpo.train.task import Task

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Examples:
    """All rows of a data set as they came.

    Args:
        x: numbers [N, features], or images [N, height, width] or [N, channels, height, width].
        y: classes of any kind [N], or numbers [N] or [N, D].
        task: what the targets are; "auto" leaves it to their type.
        place: where they came from, for messages.
        columns: names of the features, where they have some.
        target: name of the targets.
        constant_columns: whether features that never vary are fine, as border pixels are.
        test: rows beside these that are the test split.
    """

    x: np.ndarray
    y: np.ndarray
    task: Task | Literal["auto"]
    place: str
    columns: tuple[str, ...] = ()
    target: str = "y"
    constant_columns: bool = True
    test: Examples | None = None


class DataPart(Settings):
    """A data set, how it is split, and how its inputs are scaled."""

    split: Split = Field(default_factory=Split, description="shares of validation and test")
    scaling: Scaling = Field(
        "zscore",
        description="of the inputs, fitted on the training split; pca_whitening is for tables, and "
        "drops directions of less than 1e-12 times the largest variance",
    )

    @abstractmethod
    def read(self, folder: Path) -> Examples:
        """All rows.

        Args:
            folder: where relative paths count from.

        Raises:
            DataError: they cannot be read.
        """

    def version(self, folder: Path) -> tuple[int, ...] | None:
        """Differs when the rows do; `None` where only reading can tell.

        A worker reads data of a known version once, for all of its trials.
        """
        return None

    def known_task(self) -> Task | None:
        """What the targets are, if that is known without reading them."""
        return None


class UserData(DataPart):
    """Data of which only its owner knows what the targets are."""

    task: Task | Literal["auto"] = Field(
        "auto",
        description="what the targets are; auto takes text, booleans and whole numbers of at most "
        "50 different values for classes",
    )

    def known_task(self) -> Task | None:
        return None if self.task == "auto" else self.task


class OwnTest(UserData):
    """Data that may bring their own test split, beside the rows to train and validate on."""

    x_test: str | None = Field(
        None, min_length=1, description="inputs of the test split, where it is one of its own"
    )
    y_test: str | None = Field(None, min_length=1, description="targets of the test split")

    @model_validator(mode="after")
    def _test_split_is_one(self) -> Self:
        if (self.x_test is None) != (self.y_test is None):
            there, missing = ("y_test", "x_test") if self.x_test is None else ("x_test", "y_test")
            raise ValueError(
                f"x_test and y_test must be given together, got {there} alone; add {missing}"
            )
        if self.x_test is not None and self.split.test is not None:
            raise ValueError(
                "split.test must be left out where x_test and y_test are the test split, got "
                f"{self.split.test}; remove it, or x_test and y_test"
            )
        return self
