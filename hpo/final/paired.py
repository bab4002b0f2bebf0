"""Two configs beside each other, seed by seed.

From one seed both start alike and see the same data in the same order, so much of what luck does
to one it does to the other, too: the difference within a seed says more than two means do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hpo.records import Objective
from hpo.repeated import Repeated

LEVEL = 0.95
"""Of the intervals: how many of them hold the true value."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The second of two less the first.

    Args:
        low, high: the 95 % interval of the mean, by Student's t distribution; infinite from one
            seed.
        n: seeds that both have, whose differences these are; or, of independent runs, how many
            the second has.
        n_first: how many the first has of independent runs, Welch's interval; `None`: in pairs.
    """

    mean: float
    low: float
    high: float
    n: int
    n_first: int | None = None

    @property
    def told_apart(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        runs = f"n = {self.n} paired seeds"
        if self.n_first is not None:
            runs = f"n = {self.n_first} and {self.n} independent runs"
        return f"{self.mean:+.4g}, 95 % interval {self.low:+.4g} to {self.high:+.4g}, {runs}"


def difference(first: Repeated, second: Repeated) -> Difference:
    """The paired difference, second less first.

    Raises:
        ValueError: they have no seed in common.
    """
    shared = sorted(first.values.keys() & second.values.keys())
    if not shared:
        raise ValueError("the two have no seed in common")
    each = Repeated({r: second.values[r] - first.values[r] for r in shared})
    half = quantile(each.n - 1) * each.standard_error if each.n > 1 else math.inf
    return Difference(each.mean, each.mean - half, each.mean + half, each.n)


def verdict(difference: Difference, objective: Objective, first: str, second: str) -> str:
    """What a paired difference says, in words.

    >>> verdict(Difference(-0.02, -0.03, -0.01, 5), Objective("val_error"), "a", "b")
    'b is better than a'
    """
    if not difference.told_apart:
        return f"{first} and {second} cannot be told apart"
    second_is_better = objective.rank(difference.mean) < 0
    better, worse = (second, first) if second_is_better else (first, second)
    return f"{better} is better than {worse}"


def alike(candidates: Sequence[Repeated], winner: int) -> list[int]:
    """The candidates that the winner cannot be told apart from, itself left out, by index.

    Those that it has no seed in common with are among them.
    """
    best = candidates[winner]
    return [
        index
        for index, candidate in enumerate(candidates)
        if index != winner
        and (
            not best.values.keys() & candidate.values.keys()
            or not difference(best, candidate).told_apart
        )
    ]


def quantile(degrees: float) -> float:
    """Of Student's t distribution, for a two-sided interval."""
    from scipy import stats

    return float(stats.t.ppf((1 + LEVEL) / 2, degrees))
