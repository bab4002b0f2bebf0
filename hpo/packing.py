"""Who trains with whom, how many together, and how many trials are drawn for that."""

from __future__ import annotations

import math
from collections.abc import Callable

from hpo.assignments import Assignments

DRAWS_A_LANE = 4
"""At most so many trials are drawn for each that a pack has room for: most may not fit. Where the
study learns from results, no more wait than a pack has lanes."""

AHEAD_PART, AHEAD_LEAST = 4, 8
"""Packs of a study that learns from its results may hold a quarter of its trials, or so many: what
is drawn for them is drawn without each other's results."""


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

    def fitting(self, worker: str, room: int) -> list[int]:
        """Trials that wait and can join the pack of a worker with room for so many more.

        They are those that are handed out next.
        """
        fit, room = self._fit(worker, room)
        return fit[:room]

    def wants(self, worker: str, room: int) -> bool:
        """Whether another trial is to be drawn for such a pack."""
        fit, room = self._fit(worker, room)
        held, waiting = self._crew.held, len(self._crew.waiting)
        width = len(self._crew.of(worker)) + room
        crowded = waiting - len(fit) >= self._misfits * width
        return len(fit) < room and not crowded and held + waiting < self._ahead

    def _fit(self, worker: str, room: int) -> tuple[list[int], int]:
        """All that wait and fit, and room for how many of them there is."""
        held = self._crew.of(worker)
        keys = {self._key_of(number) for number in held}
        if len(keys) != 1 or None in keys:
            return [], 0
        fit = [number for number in self._crew.waiting if self._key_of(number) in keys]
        if self._widest is not None:
            room = max(0, min(room, self._widest - len(held)))
        return fit, room

    def _key_of(self, number: int) -> str | None:
        if number in self._alone:
            return None
        if number not in self._keys:
            self._keys[number] = self._key(number)
        return self._keys[number]
