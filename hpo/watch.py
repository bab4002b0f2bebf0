"""Looks on while a study runs, and stops it cleanly when it is told to."""

from __future__ import annotations

import _thread
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from hpo.coordinator import Coordinator
from hpo.progress import Progress

POLL_S = 0.25

ENGINE_S = 20.0
"""After so long without an answer from the coordinator the run gives up, as on Ctrl-C."""


@contextmanager
def watch(coordinator: Coordinator, seen: Callable[[Progress], None]) -> Iterator[None]:
    """Shows progress from a thread of its own, and stops the study cleanly at the first Ctrl-C.

    The second Ctrl-C is Python's own: what runs is left as it is, and runs again next time.
    """
    interrupted, over = threading.Event(), threading.Event()
    troubles: list[Exception] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        if interrupted.is_set():
            signal.signal(number, signal.SIG_DFL)  # should something swallow the exception
            raise KeyboardInterrupt
        interrupted.set()

    def look() -> None:
        answered = time.monotonic()
        while not over.wait(POLL_S):
            try:
                if interrupted.is_set():
                    coordinator.stop()
                progress = coordinator.progress()
                answered = time.monotonic()
            except Exception:  # being restarted, or gone for good with the whole engine
                if time.monotonic() - answered > ENGINE_S:
                    _thread.interrupt_main()
                    time.sleep(1)
                continue
            if not troubles:
                try:
                    seen(progress)
                except Exception as error:  # looking on must not keep Ctrl-C from working
                    troubles.append(error)

    main = threading.current_thread() is threading.main_thread()
    before = {
        number: signal.signal(number, interrupt)
        for number in ((signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if main else ())
    }
    watcher = threading.Thread(target=look, name="hpo-watch", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        for number, handler in before.items():
            signal.signal(number, handler)
    if troubles:
        raise troubles[0]
    seen(coordinator.progress())
