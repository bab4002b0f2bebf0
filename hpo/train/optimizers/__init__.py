"""Optimizers. To add one: copy a neighbour, and add it to the union."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hpo.train.optimizers.adamw import AdamW
from hpo.train.optimizers.base import OptimizerPart, OptimizerState
from hpo.train.optimizers.sgd import Sgd

__all__ = ["AdamW", "Optimizer", "OptimizerPart", "OptimizerState", "Sgd"]

Optimizer = Annotated[Sgd | AdamW, Field(discriminator="kind")]
