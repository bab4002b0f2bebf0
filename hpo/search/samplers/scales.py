"""The scale on which a range is searched."""

from __future__ import annotations

import math
from typing import Literal

from hpo.space import Range

Scale = Literal["linear", "log", "complement"]


def scale(range_: Range) -> Scale:
    """Uniform in the value, in its logarithm, or in the logarithm of 1 minus the value."""
    return "log" if range_.log else "linear"


def internal(range_: Range, value: float) -> float:
    """The number that samplers see for a value."""
    return 1 - value if scale(range_) == "complement" else value


def external(range_: Range, number: float) -> float:
    """The value for a number that samplers see."""
    if scale(range_) != "complement":
        return number
    return min(max(1 - number, range_.low), range_.high)  # 1 - (1 - low) may be off by rounding


def internal_bounds(range_: Range) -> tuple[float, float]:
    """The least and the greatest number that samplers see."""
    if scale(range_) == "complement":
        return 1 - range_.high, 1 - range_.low
    return range_.low, range_.high


def from_unit(range_: Range, u: float) -> float:
    """The value at `u` in [0, 1) of the way from low to high; equal shares for equal steps."""
    if scale(range_) == "linear":
        if range_.count is None:
            return range_.low + u * (range_.high - range_.low)
        return range_.value(min(int(u * range_.count), range_.count - 1))
    low, high = internal_bounds(range_)
    if scale(range_) == "complement":
        u = 1 - u
    if range_.integer:  # as far to either side of a whole number as what is rounded to it
        low, high = low - 0.5, high + 0.5
    number = math.exp(math.log(low) + u * (math.log(high) - math.log(low)))
    if range_.integer:
        number = round(number)
    return min(max(external(range_, number), range_.low), range_.high)
