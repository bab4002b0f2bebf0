from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from hpo.train.settings import PerLane, Settings

EXPONENTS = {"linear": 1.0, "sqrt": 0.5, "none": 0.0}


class BatchLr(Settings):
    """Batch size and learning rate, coupled.

    learning_rate = base_lr * (batch_size / base_batch_size) ** {linear: 1, sqrt: 1/2, none: 0}.
    A config found at one batch size can so be moved to another: base_lr stays as it is.
    """

    reference: ClassVar[str] = (
        "linear: Goyal et al. 2017, arXiv:1706.02677; sqrt: Krizhevsky 2014, arXiv:1404.5997"
    )

    batch_size: int = Field(64, ge=1, le=2**20, description="rows in a training step")
    base_lr: Annotated[float, PerLane()] = Field(
        0.1, gt=0, le=100, description="learning rate at the base batch size"
    )
    base_batch_size: int = Field(
        256, ge=1, le=2**20, description="batch size at which the learning rate is base_lr"
    )
    rule: Literal["linear", "sqrt", "none"] = Field(
        "linear", description="how the learning rate follows the batch size"
    )

    @property
    def learning_rate(self) -> float:
        return self.base_lr * math.pow(self.batch_size / self.base_batch_size, EXPONENTS[self.rule])
