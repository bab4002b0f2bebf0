"""When work that was lost with its workers is tried no more."""

from __future__ import annotations

from collections import Counter

MAX_LOSSES = 3
"""A trial that took its worker down so many times is not tried again."""

MAX_DEATHS = 5
"""Workers that died one after the other, none finishing a trial, before the study gives up."""


class Losses:
    """Counts what trials have cost, and deaths in a row."""

    def __init__(self) -> None:
        self._lost: Counter[int] = Counter()
        self.deaths = 0

    def lost(self, number: int) -> bool:
        """A trial has cost a worker; whether it is given up."""
        self._lost[number] += 1
        return self._lost[number] >= MAX_LOSSES

    def died(self) -> bool:
        """A worker has died; whether so many did in a row that no trial can be to blame."""
        self.deaths += 1
        return self.deaths >= MAX_DEATHS

    def recovered(self) -> None:
        """A trial has ended, or it is known what the deaths were due to."""
        self.deaths = 0
