"""The kinds of targets, and the metrics that go with each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import torch

Task = Literal["classification", "regression", "reconstruction", "next_character", "multitask"]

# What the score on a split is called: a share of wrong classes, or a root mean squared error. That
# of a regression is in the target's own units, that of a reconstruction in those of scaled inputs.
# Several targets of different kinds have a score each (`Target.score`).
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
    "multitask": "multitask",
}


class Window(NamedTuple):
    """The shape of one example of a text: so many characters, each of so many classes."""

    length: int
    characters: int


class Target(NamedTuple):
    """One of several targets that may be of different kinds.

    The model has an output for each of its classes, in their order, or one for a number; and so
    have the targets of a row: probabilities of classes, or the number.

    Args:
        name: of its column.
        classes: as they came, sorted; of a number none.
    """

    name: str
    classes: tuple[str | float, ...] = ()

    @property
    def outputs(self) -> int:
        return len(self.classes) or 1

    @property
    def score(self) -> str:
        return "error" if self.classes else "rmse"


def split(targets: Sequence[Target], values: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """What belongs to each target, of values [..., outputs] of all."""
    sizes = [target.outputs for target in targets]
    pieces: tuple[torch.Tensor, ...] = values.split_with_sizes(sizes, dim=-1)
    return pieces


# Ends the name of a metric's standard error, where it is a mean over several seeds.
ERROR = "_se"


# Beside the score of an ensemble.
TOGETHER: Mapping[str, tuple[str, ...]] = {
    "error": (),
    "rmse": ("ensemble_formula", "member_variance", "member_covariance"),
}


def reported_metrics(task: Task, repeats: int = 1, ensemble: bool = False) -> frozenset[str] | None:
    """The metrics of every report of the built-in trainer; `None` where the data decide them."""
    if task not in SCORES:
        return None
    score = SCORES[task]
    names = {"train_loss", "val_loss", f"val_{score}"}
    errors = {name + ERROR for name in names} if repeats > 1 else set()
    together = {f"val_{name}" for name in (f"ensemble_{score}", *TOGETHER[score])}
    return frozenset(names | errors | (together if ensemble else set()))
