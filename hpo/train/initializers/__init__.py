"""Initializers. To add one: copy a neighbour, and add it to the union."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hpo.train.initializers.base import InitializerPart, fans
from hpo.train.initializers.fixed import Constant, Normal, TruncatedNormal, Uniform
from hpo.train.initializers.orthogonal import Orthogonal
from hpo.train.initializers.scaled import Kaiming, Xavier
from hpo.train.initializers.sparse import Sparse

__all__ = [
    "Constant",
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

Initializer = Annotated[
    Kaiming | Xavier | Orthogonal | Normal | TruncatedNormal | Uniform | Sparse | Constant,
    Field(discriminator="kind"),
]
