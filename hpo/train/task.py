"""The two kinds of targets, and the metrics that go with each."""

from __future__ import annotations

from typing import Literal

Task = Literal["classification", "regression"]

# What the score on a split is called: a share of wrong classes, or a root mean squared error in the
# target's own units.
SCORES: dict[Task, str] = {"classification": "error", "regression": "rmse"}


# Ends the name of a metric's standard error, where it is a mean over several seeds.
ERROR = "_se"


def reported_metrics(task: Task, repeats: int = 1) -> frozenset[str]:
    """The metrics of every report of the built-in trainer."""
    names = {"train_loss", "val_loss", f"val_{SCORES[task]}"}
    return frozenset(names | ({name + ERROR for name in names} if repeats > 1 else set()))
