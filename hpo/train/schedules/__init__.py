"""Learning rate schedules. To add one: copy a neighbour, and add it to the union."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hpo.train.schedules.base import SchedulePart
from hpo.train.schedules.constant import Constant
from hpo.train.schedules.cosine import Cosine
from hpo.train.schedules.warmup import Warmup

__all__ = ["Constant", "Cosine", "Schedule", "SchedulePart", "Warmup"]

Schedule = Annotated[Cosine | Constant, Field(discriminator="kind")]
