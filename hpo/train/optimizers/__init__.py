"""Optimizers. To add one: copy a neighbour, and add it to the union."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hpo.train.optimizers.adadelta import Adadelta
from hpo.train.optimizers.adagrad import Adagrad
from hpo.train.optimizers.adam import Adam
from hpo.train.optimizers.adamw import AdamW
from hpo.train.optimizers.base import OptimizerPart, OptimizerState
from hpo.train.optimizers.lion import Lion
from hpo.train.optimizers.rmsprop import Rmsprop
from hpo.train.optimizers.sgd import Sgd
from hpo.train.optimizers.sgdw import Sgdw

__all__ = [
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Lion",
    "Optimizer",
    "OptimizerPart",
    "OptimizerState",
    "Rmsprop",
    "Sgd",
    "Sgdw",
]

Optimizer = Annotated[
    Sgd | Sgdw | Adagrad | Rmsprop | Adadelta | Adam | AdamW | Lion, Field(discriminator="kind")
]
