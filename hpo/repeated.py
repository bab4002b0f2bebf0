"""What one config came to over several seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Repeated:
    """One config's values of a metric over seeds.

    Args:
        values: by what the run started from: its seed, or the repeat that has one seed for every
            config. At least one.
    """

    values: Mapping[int, float]

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def mean(self) -> float:
        return math.fsum(self.values.values()) / self.n

    @property
    def standard_deviation(self) -> float:
        """Between seeds; NaN with fewer than two."""
        if self.n < 2:
            return math.nan
        mean = self.mean
        squares = math.fsum((value - mean) ** 2 for value in self.values.values())
        return math.sqrt(squares / (self.n - 1))

    @property
    def standard_error(self) -> float:
        """Of the mean; NaN with fewer than two seeds."""
        return self.standard_deviation / math.sqrt(self.n)

    def __str__(self) -> str:
        spread = f" ± {self.standard_error:.2g}" if self.n > 1 else ""
        return f"{self.mean:.4g}{spread} (n = {self.n})"
