"""Normalizations. To add one: copy a neighbour, and add it to the union."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hpo.train.normalizations.base import ModelState, NormalizationPart
from hpo.train.normalizations.batch import BatchNorm
from hpo.train.normalizations.layer import LayerNorm
from hpo.train.normalizations.local_response import LocalResponseNorm
from hpo.train.normalizations.none import NoNormalization
from hpo.train.normalizations.weight import WeightNorm

__all__ = [
    "BatchNorm",
    "DenseNormalization",
    "LayerNorm",
    "LocalResponseNorm",
    "ModelState",
    "NoNormalization",
    "Normalization",
    "NormalizationPart",
    "WeightNorm",
]

Normalization = Annotated[
    NoNormalization | BatchNorm | LayerNorm | WeightNorm | LocalResponseNorm,
    Field(discriminator="kind"),
]
# Units of a dense layer have no neighbours.
DenseNormalization = Annotated[
    NoNormalization | BatchNorm | LayerNorm | WeightNorm, Field(discriminator="kind")
]
