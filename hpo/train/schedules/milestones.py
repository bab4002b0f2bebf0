"""Points of training at which something changes at once."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator, Field


def _in_order(milestones: tuple[float, ...]) -> tuple[float, ...]:
    if any(first >= second for first, second in pairwise(milestones)):
        raise ValueError("milestones must increase, so sort them and write each once")
    return milestones


# Shares in (0, 1), so that they move with the length of the training.
Milestones = Annotated[
    tuple[Annotated[float, Field(gt=0, lt=1)], ...],
    Field(min_length=1, max_length=100),
    AfterValidator(_in_order),
]
