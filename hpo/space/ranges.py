"""Numbers that vary: a range, its scale, and the values it has."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from hpo.space.document import Keys

Scale = Literal["linear", "log", "complement"]


@dataclass(frozen=True, slots=True)
class Range:
    """A number in `[low, high]`, both ends included.

    Args:
        name: the parameter's name, unique in the space.
        scale: on which it is drawn uniformly: the number itself, its logarithm (`low > 0`), or the
            logarithm of `1 - number` (`high < 1`), for what matters by its distance from 1.
        step: only `low + k * step` is drawn; divides `high - low`; on the linear scale only.
        integer: whole numbers only; not on the complement scale.
        at: where it stands in the study file.
    """

    name: str
    low: float
    high: float
    scale: Scale = "linear"
    step: float | None = None
    integer: bool = False
    at: Keys = field(default=(), compare=False)

    @property
    def count(self) -> int | None:
        """How many values it has, if these are finitely many."""
        step = self._step
        return None if step is None else round((self.high - self.low) / step) + 1

    def value(self, index: int) -> float:
        """Its value number `index`, in `[0, count)`."""
        step = self._step
        assert step is not None, "a continuous range has no values to count"
        if self.integer:
            return int(self.low) + index * int(step)
        if index + 1 == self.count:
            return float(self.high)  # which `step` may miss by a rounding
        return steps_above(self.low, index, step)

    def nearest(self, value: float) -> float:
        """The value of this range that a sampler means, whose own may be off by rounding."""
        step = self._step
        return float(value) if step is None else self.value(round((value - self.low) / step))

    def holds(self, value: float) -> bool:
        """Whether it has this value; on the steps of a range, up to rounding."""
        if self.integer:
            return (
                self.low <= value <= self.high
                and float(value).is_integer()
                and (int(value) - int(self.low)) % int(self.step or 1) == 0
            )
        if self.step is None:
            return self.low <= value <= self.high
        if not self.low - self.step / 2 < value < self.high + self.step / 2:
            return False
        return abs(self.nearest(value) - value) <= max(1e-9 * self.step, 4 * math.ulp(value))

    def to_unit(self, value: float) -> float:
        """Where a value of this range lies on its scale: 0 for `low`, 1 for `high`."""
        if value <= self.low:
            return 0.0
        if value >= self.high:
            return 1.0
        if self.scale == "linear" and self.count is not None:
            return round((value - self.low) / (self._step or 1)) / (self.count - 1)
        start, end = self._scaled_ends
        return min(max((self._scaled(value) - start) / (end - start), 0.0), 1.0)

    def from_unit(self, unit: float) -> float:
        """The value at a place in `[0, 1]` on its scale; the inverse of `to_unit`.

        Each of finitely many values on the linear scale has an equal share of `[0, 1]`; whole
        numbers on the log scale have the share from half a number below to half a number above.
        """
        if self.scale == "linear" and self.count is not None:
            return self.value(min(int(unit * self.count), self.count - 1))
        if unit <= 0:
            return self.nearest(self.low)
        if unit >= 1:
            return self.nearest(self.high)
        start, end = self._scaled_ends
        value = self._unscaled(start + unit * (end - start))
        return self.nearest(min(max(value, self.low), self.high))

    @property
    def internal_bounds(self) -> tuple[float, float]:
        """The ends as a library sees them that knows no complement: of `1 - value`, in the log."""
        if self.scale == "complement":
            return 1 - self.high, 1 - self.low
        return self.low, self.high

    def internal(self, value: float) -> float:
        """A value as such a library sees it: `1 - value` for complements."""
        return 1 - value if self.scale == "complement" else value

    def external(self, value: float) -> float:
        """The value that such a library means; rounding does not take it out of `[low, high]`."""
        if self.scale != "complement":
            return value
        return min(max(1 - value, self.low), self.high)

    @property
    def _step(self) -> float | None:
        return self.step or (1 if self.integer else None)

    @property
    def _scaled_ends(self) -> tuple[float, float]:
        half = 0.5 if self.integer else 0.0
        return self._scaled(self.low - half), self._scaled(self.high + half)

    def _scaled(self, value: float) -> float:
        match self.scale:
            case "linear":
                return value
            case "log":
                return math.log(value)
            case "complement":
                return math.log1p(-value)

    def _unscaled(self, scaled: float) -> float:
        match self.scale:
            case "linear":
                return scaled
            case "log":
                return math.exp(scaled)
            case "complement":
                return -math.expm1(scaled)


def steps_above(low: float, steps: int, step: float) -> float:
    """`low + steps * step` as in decimal: 0.1 + 2 * 0.1 is 0.3 and not 0.30000000000000004."""
    return float(Decimal(str(low)) + steps * Decimal(str(step)))


def is_multiple(span: float, step: float) -> bool:
    """Whether `step` divides `span`, up to rounding in the last digits."""
    return math.isclose(span / step, round(span / step), rel_tol=1e-9, abs_tol=1e-9)
