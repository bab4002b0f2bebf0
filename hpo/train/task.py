"""The kinds of targets, and the metrics that go with each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

Task = Literal["classification", "regression", "reconstruction", "next_character"]

# What the score on a split is called: a share of wrong classes, or a root mean squared error. That
# of a regression is in the target's own units, that of a reconstruction in those of scaled inputs.
SCORES: Mapping[Task, str] = {
    "classification": "error",
    "regression": "rmse",
    "reconstruction": "rmse",
    "next_character": "error",
}

# Whose losses fit: a text has a class at each position, and inputs to reconstruct are numbers.
LIKE: Mapping[Task, Task] = {
    "classification": "classification",
    "regression": "regression",
    "reconstruction": "regression",
    "next_character": "classification",
}


class Window(NamedTuple):
    """The shape of one example of a text: so many characters, each of so many classes."""

    length: int
    characters: int


# Ends the name of a metric's standard error, where it is a mean over several seeds.
ERROR = "_se"


def reported_metrics(task: Task, repeats: int = 1) -> frozenset[str]:
    """The metrics of every report of the built-in trainer."""
    names = {"train_loss", "val_loss", f"val_{SCORES[task]}"}
    return frozenset(names | ({name + ERROR for name in names} if repeats > 1 else set()))
