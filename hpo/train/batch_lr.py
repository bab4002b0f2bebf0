from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from hpo.train.settings import PerLane, Settings

EXPONENTS = {"linear": 1.0, "sqrt": 0.5, "none": 0.0}

ASSUMPTIONS = {
    "linear": "rule linear assumes that k steps of one batch come to one step of k batches: it"
    " holds for SGD while weights change little within a step, with a warmup, up to some batch"
    " size (8192 rows for ResNet-50 on ImageNet: Goyal et al. 2017)",
    "sqrt": "rule sqrt assumes that the noise of the gradient decides the step, as for Adam-type"
    " optimizers with small rates (Malladi et al. 2022)",
    "none": "rule none leaves the learning rate as it is: nothing makes up for the batch size",
}


class BatchLr(Settings):
    """Batch size and learning rate, coupled.

    learning_rate = base_lr * kappa ** {linear: 1, sqrt: 1/2, none: 0}, with
    kappa = batch_size / base_batch_size. With `scale_betas` an Adam-type optimizer follows, too:
    1 - beta -> kappa * (1 - beta) for both betas, and eps -> eps / sqrt(kappa). A config found at
    one batch size can so be moved to another: all values written in it stay as they are.
    """

    reference: ClassVar[str] = (
        "linear: Goyal et al. 2017, arXiv:1706.02677; sqrt: Krizhevsky 2014, arXiv:1404.5997; "
        "scale_betas: Malladi et al. 2022, arXiv:2205.10287"
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
    scale_betas: bool = Field(
        False,
        description="betas and eps of an Adam-type optimizer follow as well; needs rule sqrt",
    )

    @model_validator(mode="after")
    def _betas_follow_the_square_root(self) -> Self:
        if self.scale_betas and self.rule != "sqrt":
            raise ValueError(
                f"scale_betas is part of rule sqrt, got rule {self.rule}; set rule: sqrt, or leave "
                "scale_betas out"
            )
        return self

    @property
    def kappa(self) -> float:
        """How many base batches a batch is."""
        return self.batch_size / self.base_batch_size

    @property
    def assumption(self) -> str:
        """What the rule takes for granted when the batch size changes."""
        return ASSUMPTIONS[self.rule]

    @property
    def learning_rate(self) -> float:
        return self.base_lr * math.pow(self.kappa, EXPONENTS[self.rule])
