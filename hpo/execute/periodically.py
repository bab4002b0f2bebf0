"""Does something beside a trial."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def periodically(do: Callable[[], None], seconds: float | None) -> Iterator[None]:
    """Does something again and again, from a thread of its own; `None`: never."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(seconds):
            with suppress(Exception):  # a coordinator that is being started again; next time, then
                do()

    if seconds is not None:
        threading.Thread(target=run, name="hpo-watch-worker", daemon=True).start()
    try:
        yield
    finally:
        over.set()
