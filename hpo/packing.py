"""Who trains with whom, how many together, and how many trials are drawn for that."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

from hpo.assignments import Assignments

DRAWS_A_LANE = 4
"""At most so many trials are drawn for each that a pack has room for: most may not fit. Where the
study learns from results, no more wait than a pack has lanes."""

AHEAD_PART, AHEAD_LEAST = 4, 8
"""Packs of a study that learns from its results may hold a quarter of its trials, or so many: what
is drawn for them is drawn without each other's results."""

EXPECTED = 2
"""None is drawn ahead of results for a pack unless so many times as many as it needs are to be
expected: shares of keys are known from few draws, and what is drawn in vain learns nothing."""


class Packing:
    """The packs of a study.

    Args:
        crew: who holds what, and what waits; it is looked at, not changed.
        key: what a trial must have in common with others to train with them, by its number;
            `None`: it trains alone.
        learns: whether what is drawn depends on results.
        total: trials there will be, if packs of a study that learns are to be kept to their part
            of these; `None` where their width is the user's own choice.
    """

    def __init__(
        self,
        crew: Assignments,
        key: Callable[[int], str | None],
        learns: bool = False,
        total: int | None = None,
    ) -> None:
        self._crew = crew
        self._key = key
        self._keys: dict[int, str | None] = {}
        self._drawn: Counter[str | None] = Counter()  # by key
        self._alone: set[int] = set()
        self._widest: int | None = None
        self._misfits = 1 if learns else DRAWS_A_LANE
        bounded = learns and total is not None
        self._ahead = max(AHEAD_LEAST, (total or 0) // AHEAD_PART) if bounded else math.inf

    def alone(self, number: int) -> None:
        """A trial takes no others along from now on."""
        self._alone.add(number)

    def ended(self, number: int) -> None:
        """A trial of which nothing is to be known any more."""
        self._keys.pop(number, None)
        self._alone.discard(number)

    def too_wide(self, lanes: int) -> None:
        """So many were too many for a machine: packs have half of that from now on."""
        self._widest = min(self._widest or lanes, max(1, lanes // 2))

    def fitting(self, worker: str, room: int, fewest: int = 0) -> list[int]:
        """Trials that wait and can join the pack of a worker with room for so many more.

        They are those that are handed out next; none if there are not even `fewest`.
        """
        fit = self._waiting(self._shared(worker))[: self._room(worker, room)]
        return fit if len(fit) >= fewest else []

    def wants(self, worker: str, room: int, fewest: int = 0) -> bool:
        """Whether another trial is to be drawn for such a pack.

        Ahead of results none is where enough that fit are not to be expected, by the keys of what
        was drawn so far.
        """
        key, room = self._shared(worker), self._room(worker, room)
        if key is None or room < fewest:
            return False
        fit, waiting = len(self._waiting(key)), len(self._crew.waiting)
        crowded = waiting - fit >= self._misfits * (len(self._crew.of(worker)) + room)
        ahead = self._crew.held + waiting >= self._ahead
        expected = self._ahead * self._drawn[key] / self._drawn.total()
        return fit < room and not crowded and not ahead and expected >= EXPECTED * fewest

    def _shared(self, worker: str) -> str | None:
        """The key of all that a worker holds; `None` if they take no others along."""
        keys = {self._key_of(number) for number in self._crew.of(worker)}
        return keys.pop() if len(keys) == 1 else None

    def _waiting(self, key: str | None) -> list[int]:
        """Trials of a key that wait."""
        if key is None:
            return []
        return [number for number in self._crew.waiting if self._key_of(number) == key]

    def _room(self, worker: str, room: int) -> int:
        if self._widest is None:
            return room
        return max(0, min(room, self._widest - len(self._crew.of(worker))))

    def _key_of(self, number: int) -> str | None:
        if number in self._alone:
            return None
        if number not in self._keys:
            self._keys[number] = self._key(number)
            self._drawn[self._keys[number]] += 1
        return self._keys[number]
