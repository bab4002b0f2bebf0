"""Learning rate schedules. To add one: copy a neighbour, and add it to the union."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hpo.train.schedules.base import SchedulePart, Stage
from hpo.train.schedules.constant import Constant
from hpo.train.schedules.cosine import Cosine
from hpo.train.schedules.exponential import Exponential
from hpo.train.schedules.growing_batch import GrowingBatch
from hpo.train.schedules.inverse_time import InverseTime
from hpo.train.schedules.linear import Linear
from hpo.train.schedules.natural_exponential import NaturalExponential
from hpo.train.schedules.one_cycle import OneCycle
from hpo.train.schedules.piecewise import Piecewise
from hpo.train.schedules.triangular import Triangular
from hpo.train.schedules.warm_restarts import WarmRestarts
from hpo.train.schedules.warmup import Warmup

__all__ = [
    "Constant",
    "Cosine",
    "Exponential",
    "GrowingBatch",
    "InverseTime",
    "Linear",
    "NaturalExponential",
    "OneCycle",
    "Piecewise",
    "Schedule",
    "SchedulePart",
    "Stage",
    "Triangular",
    "WarmRestarts",
    "Warmup",
]

Schedule = Annotated[
    Cosine
    | Constant
    | Piecewise
    | InverseTime
    | Exponential
    | NaturalExponential
    | Linear
    | OneCycle
    | Triangular
    | WarmRestarts
    | GrowingBatch,
    Field(discriminator="kind"),
]
