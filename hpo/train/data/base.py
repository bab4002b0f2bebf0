"""What a data set is to the trainer: settings that can be read into arrays."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from hpo.errors import DataError
from hpo.train.data.scaling import Scaling
from hpo.train.data.split import Shares, Split
from hpo.train.settings import Settings
from hpo.train.task import Task

if TYPE_CHECKING:
    import numpy as np


Name = Annotated[str, Field(min_length=1)]
Names = Name | Annotated[tuple[Name, ...], Field(min_length=1)]


def listed(names: Names) -> tuple[str, ...]:
    """One name, or several, as several."""
    return (names,) if isinstance(names, str) else names


@dataclass(frozen=True, slots=True)
class Examples:
    """All rows of a data set as they came.

    Args:
        x: numbers [N, features], images [N, height, width] or [N, channels, height, width], series
            [N, length] or [N, channels, length]; or characters, int64 [N, L].
        y: classes of any kind [N], or numbers [N] or [N, D]; or several targets that may be of
            different kinds, structured [N]; or the next characters, int64 [N, L].
        task: what the targets are; "auto" leaves it to their type.
        place: where they came from, for messages.
        columns: names of the features, where they have some.
        target: name of the targets.
        classes: which of several targets are classes, whatever they look like.
        constant_columns: whether features that never vary are fine, as border pixels are.
        test: rows beside these that are the test split.
        series: whether x are series.
        vocabulary: the characters, each at the place of its number.
    """

    x: np.ndarray
    y: np.ndarray
    task: Task | Literal["auto"]
    place: str
    columns: tuple[str, ...] = ()
    target: str = "y"
    classes: tuple[str, ...] = ()
    constant_columns: bool = True
    test: Examples | None = None
    series: bool = False
    vocabulary: str = ""


class DataPart(Settings):
    """A data set, how it is split, and how its inputs are scaled."""

    split: Shares
    scaling: Scaling

    @abstractmethod
    def read(self, folder: Path) -> Examples:
        """All rows.

        Args:
            folder: where relative paths count from.

        Raises:
            DataError: they cannot be read.
        """

    def num_scored(self, targets: int) -> int | None:
        """How many of so many targets are validated and tested; `None`: all.

        Raises:
            DataError: there are not several of them.
        """
        return None

    def version(self, folder: Path) -> tuple[int, ...] | None:
        """Differs when the rows do; `None` where only reading can tell.

        A worker reads data of a known version once, for all of its trials.
        """
        return None

    def known_task(self) -> Task | None:
        """What the targets are, if that is known without reading them."""
        return None


class RowData(DataPart):
    """Rows of numbers, in no particular order."""

    split: Split = Field(default_factory=Split, description="shares of validation and test")
    scaling: Scaling = Field(
        "zscore",
        description="of the inputs, fitted on the training split; pca_whitening is for tables, and "
        "drops directions of less than 1e-12 times the largest variance",
    )
    targets: Literal["given", "inputs"] = Field(
        "given",
        description="what to predict: what is given, or the scaled inputs themselves",
    )

    @model_validator(mode="after")
    def _a_code_leaves_something_out(self) -> Self:
        if self.targets == "inputs" and self.scaling == "pca_whitening":
            raise ValueError(
                "targets: inputs needs inputs of which some vary more than others, got scaling "
                "pca_whitening, after which all vary alike and any code is as good as another; set "
                "scaling: zscore or minmax"
            )
        return self


class UserData(RowData):
    """Data of which only its owner knows what they are."""

    task: Literal["classification", "regression", "multitask", "auto"] = Field(
        "auto",
        description="what the targets are; auto takes text, booleans and whole numbers of at most "
        "50 different values for classes; of several targets, text and booleans: multitask, or "
        "regression where there are none",
    )
    classes: tuple[Name, ...] = Field(
        (), description="which of several targets are classes, beside text and booleans"
    )
    scored: Literal["all", "first"] = Field(
        "all", description="which of several targets are validated and tested; all are trained on"
    )
    series: bool = Field(
        False, description="x is [N, length] or [N, channels, length]: steps, not columns or images"
    )

    @model_validator(mode="after")
    def _one_task(self) -> Self:
        if self.targets == "inputs" and self.task != "auto":
            raise ValueError(
                f"targets: inputs has a task of its own, got task {self.task}; leave task out, or "
                "targets"
            )
        if self.classes and (self.targets == "inputs" or self.task not in ("auto", "multitask")):
            task = "targets: inputs" if self.targets == "inputs" else f"task {self.task}"
            raise ValueError(
                f"classes is for several targets of different kinds, got {', '.join(self.classes)} "
                f"with {task}; leave one of them out"
            )
        return self

    def num_scored(self, targets: int) -> int | None:
        if self.scored == "all":
            return None
        if targets < 2:
            raise DataError(
                f"data.scored: first is for several numbers to predict, there are {targets}",
                "leave it out",
            )
        return 1

    def known_task(self) -> Task | None:
        if self.targets == "inputs":
            return "reconstruction"
        if self.classes:
            return "multitask"
        return None if self.task == "auto" else self.task


class OwnTest(UserData):
    """Data that may bring their own test split, beside the rows to train and validate on."""

    y: Names = Field(description="targets, or a list of them, the main one first")
    x_test: str | None = Field(
        None, min_length=1, description="inputs of the test split, where it is one of its own"
    )
    y_test: Names | None = Field(None, description="targets of the test split")

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
        if len(set(listed(self.y))) < len(listed(self.y)):
            raise ValueError(
                f"targets must differ from each other, got y {', '.join(listed(self.y))}; list "
                "each once"
            )
        if self.y_test is not None and len(listed(self.y_test)) != len(listed(self.y)):
            raise ValueError(
                f"y_test must have as many targets as y, got {', '.join(listed(self.y_test))} for "
                f"{', '.join(listed(self.y))}; list them in the same order"
            )
        return self
