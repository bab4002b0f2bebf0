"""Removes from a store what nobody needs any more, while others work."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from hpo.checkpoints import transfer

log = logging.getLogger(__name__)


class Remover:
    """One removal after the other, in a thread. A store that once does not answer is left alone:
    nobody waits for what only takes room."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hpo-remover")
        self._away = False

    def remove(self, place: str, then: Callable[[], None]) -> None:
        """Removes what is below a place, and does something else once that is done."""
        self._thread.submit(self._remove, place, then)

    def close(self) -> None:
        """Waits for what was asked so far."""
        self._thread.shutdown()

    def _remove(self, place: str, then: Callable[[], None]) -> None:
        if self._away:
            return
        try:
            transfer.remove(place)
            then()
        except Exception as error:  # each store has errors of its own
            self._away = True
            log.info("old checkpoints stay in %s: %s", place, str(error).strip()[:300])
