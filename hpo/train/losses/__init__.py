"""Losses. To add one: copy a neighbour, and add it to the union."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hpo.train.losses.base import LossPart
from hpo.train.losses.cross_entropy import CrossEntropy
from hpo.train.losses.mse import Mse
from hpo.train.losses.multitask import MultitaskLoss
from hpo.train.task import LIKE, Task

__all__ = ["CrossEntropy", "Loss", "LossPart", "Mse", "MultitaskLoss", "default_loss"]

Loss = Annotated[CrossEntropy | Mse | MultitaskLoss, Field(discriminator="kind")]


def default_loss(task: Task) -> LossPart:
    if LIKE[task] == "multitask":
        return MultitaskLoss()
    return CrossEntropy() if LIKE[task] == "classification" else Mse()
