"""Regularizers. To add one: copy a neighbour, and give it a line in `Regularization`."""

from __future__ import annotations

from pydantic import Field

from hpo.train.regularizers.base import Regularizer
from hpo.train.regularizers.clipping import Clipping
from hpo.train.regularizers.comhe import Comhe
from hpo.train.regularizers.drop_connect import DropConnect
from hpo.train.regularizers.dropout import Dropout
from hpo.train.regularizers.gradient_noise import GradientNoise
from hpo.train.regularizers.l1 import L1
from hpo.train.regularizers.l2 import L2
from hpo.train.regularizers.max_norm import MaxNorm
from hpo.train.regularizers.mhe import Mhe
from hpo.train.regularizers.mma import Mma
from hpo.train.regularizers.orthogonality import Orthogonality
from hpo.train.regularizers.orthoreg import OrthoReg
from hpo.train.regularizers.pr_product import PrProduct
from hpo.train.regularizers.stochastic_depth import StochasticDepth
from hpo.train.regularizers.variational_dropout import VariationalDropout
from hpo.train.regularizers.weight_decay import WeightDecay
from hpo.train.regularizers.weight_noise import WeightNoise
from hpo.train.settings import Settings

__all__ = [
    "L1",
    "L2",
    "Clipping",
    "Comhe",
    "DropConnect",
    "Dropout",
    "GradientNoise",
    "MaxNorm",
    "Mhe",
    "Mma",
    "OrthoReg",
    "Orthogonality",
    "PrProduct",
    "Regularization",
    "Regularizer",
    "StochasticDepth",
    "VariationalDropout",
    "WeightNoise",
]


class Regularization(Settings):
    """Penalties, constraints and noise; each hook calls them in the order they stand."""

    # First, since it is a step, and those below project what steps lead to.
    orthoreg: OrthoReg | None = Field(
        None, description="units that point to one side driven apart, after the step"
    )
    l1: L1 | None = Field(None, description="proximal L1 penalty")
    l2: L2 | None = Field(None, description="L2 penalty in the gradient")
    weight_decay: WeightDecay | None = Field(None, description="decoupled weight decay")
    max_norm: MaxNorm | None = Field(None, description="bound on each unit's incoming weights")
    mma: Mma | None = Field(None, description="units driven apart: minimal angles maximised")
    mhe: Mhe | None = Field(None, description="units that repel each other like charges")
    comhe: Comhe | None = Field(
        None, description="hidden units that repel each other as they look in few dimensions"
    )
    orthogonality: Orthogonality | None = Field(
        None, description="units drawn to length 1 and right angles"
    )
    pr_product: PrProduct | None = Field(
        None, description="gradients that turn weights as fast at all angles to their inputs"
    )
    weight_noise: WeightNoise | None = Field(None, description="gaussian noise on weights")
    gradient_noise: GradientNoise | None = Field(
        None, description="gaussian noise on the gradient, less from step to step"
    )
    drop_connect: DropConnect | None = Field(None, description="dropout of single weights")
    variational_dropout: VariationalDropout | None = Field(
        None, description="dropout in recurrent nets, alike at all steps of a sequence"
    )
    stochastic_depth: StochasticDepth | None = Field(
        None, description="dropout of whole branches beside a bypass"
    )

    def parts(self, learning_rate: float) -> dict[str, Regularizer]:
        """The parts that are present, by name, as they act at a peak learning rate."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        if self.weight_decay is not None:
            fields["weight_decay"] = self.weight_decay.as_coefficient(learning_rate)
        return {name: part for name, part in fields.items() if part is not None}
