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


# Beside the score of an ensemble.
TOGETHER: Mapping[str, tuple[str, ...]] = {
    "error": (),
    "rmse": ("ensemble_formula", "member_variance", "member_covariance"),
}


def reported_metrics(task: Task, repeats: int = 1, ensemble: bool = False) -> frozenset[str]:
    """The metrics of every report of the built-in trainer."""
    score = SCORES[task]
    names = {"train_loss", "val_loss", f"val_{score}"}
    errors = {name + ERROR for name in names} if repeats > 1 else set()
    together = {f"val_{name}" for name in (f"ensemble_{score}", *TOGETHER[score])}
    return frozenset(names | errors | (together if ensemble else set()))
