"""Removes from a store what nobody needs any more, while others work."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from hpo.checkpoints import transfer

log = logging.getLogger(__name__)

AGAIN_S = 60.0
"""For so long a store that did not answer is left alone."""


class Remover:
    """One removal after the other, in a thread. Nobody waits for what only takes room: what a store
    does not do stays for a later removal, and in the end for the next run."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hpo-remover")
        self._left: deque[tuple[str, Callable[[], None]]] = deque()
        self._due = 0.0

    def remove(self, place: str, then: Callable[[], None]) -> None:
        """Removes what is below a place, and does something else once that is done."""
        self._thread.submit(self._remove, place, then)

    def close(self) -> None:
        """Waits for what was asked so far."""
        self._thread.shutdown()

    def _remove(self, place: str, then: Callable[[], None]) -> None:
        self._left.append((place, then))
        while self._left and time.monotonic() >= self._due:
            place, then = self._left[0]
            try:
                transfer.remove(place)
                then()
            except Exception as error:  # each store has errors of its own
                self._due = time.monotonic() + AGAIN_S
                log.warning("old checkpoints stay in %s: %s", place, str(error).strip()[:300])
            else:
                self._left.popleft()
