"""Learning rate schedules. To add one: copy a neighbour, and add it to the union."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hpo.train.schedules.base import SchedulePart, Stage
from hpo.train.schedules.constant import Constant
from hpo.train.schedules.cosine import Cosine
from hpo.train.schedules.growing_batch import GrowingBatch
from hpo.train.schedules.piecewise import Piecewise
from hpo.train.schedules.warmup import Warmup

__all__ = [
    "Constant",
    "Cosine",
    "GrowingBatch",
    "Piecewise",
    "Schedule",
    "SchedulePart",
    "Stage",
    "Warmup",
]

Schedule = Annotated[Cosine | Constant | Piecewise | GrowingBatch, Field(discriminator="kind")]
