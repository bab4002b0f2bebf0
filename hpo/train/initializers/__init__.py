"""Initializers. To add one: copy a neighbour, and add it to the union."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hpo.train.initializers.base import InitializerPart, fans
from hpo.train.initializers.fixed import Normal, Uniform
from hpo.train.initializers.orthogonal import Orthogonal
from hpo.train.initializers.scaled import Kaiming, Xavier

__all__ = [
    "Initializer",
    "InitializerPart",
    "Kaiming",
    "Normal",
    "Orthogonal",
    "Uniform",
    "Xavier",
    "fans",
]

Initializer = Annotated[
    Kaiming | Xavier | Orthogonal | Normal | Uniform, Field(discriminator="kind")
]
