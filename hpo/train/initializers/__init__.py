"""Initializers. To add one that draws: copy a neighbour, and add it to `Drawn`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hpo.train.initializers.base import Distribution, InitializerPart, fans
from hpo.train.initializers.checkpoint import Checkpoint
from hpo.train.initializers.distributions import Drawn
from hpo.train.initializers.fixed import Constant, Normal, TruncatedNormal, Uniform
from hpo.train.initializers.orthogonal import Orthogonal
from hpo.train.initializers.scaled import Kaiming, Xavier
from hpo.train.initializers.sparse import Sparse

__all__ = [
    "Checkpoint",
    "Constant",
    "Distribution",
    "Initializer",
    "InitializerPart",
    "Kaiming",
    "Normal",
    "Orthogonal",
    "Sparse",
    "TruncatedNormal",
    "Uniform",
    "Xavier",
    "fans",
]

Initializer = Annotated[Drawn | Checkpoint, Field(discriminator="kind")]
