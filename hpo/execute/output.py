"""What a trial prints, where it runs in a process without a terminal."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from hpo.execute.periodically import periodically

MAX_BYTES = 1 << 20
"""Of what a trial prints the last so many are kept where they have to be sent."""

SEND_S = 1.0


@contextmanager
def to_file(path: Path) -> Iterator[None]:
    """Appends what this process and its children print to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The descriptors themselves, so that loggers set up in one trial go on in the next, and so that
    # what C libraries and child processes say is here, too.
    kept = [os.dup(descriptor) for descriptor in (1, 2)]
    try:
        with path.open("ab", buffering=0) as file:
            for descriptor in (1, 2):
                os.dup2(file.fileno(), descriptor)
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for descriptor, old in zip((1, 2), kept, strict=True):
            os.dup2(old, descriptor)
            os.close(old)


@contextmanager
def sent(send: Callable[[bytes], None]) -> Iterator[None]:
    """Sends what this process prints to where the study's folder is, soon after.

    What cannot be sent is given up: no trial waits for its words.
    """
    turn, done = threading.Lock(), 0

    with TemporaryDirectory(prefix="hpo-output-") as scratch:
        path = Path(scratch) / "output.txt"

        def send_new() -> None:
            nonlocal done
            with turn, path.open("rb") as file:
                end = file.seek(0, os.SEEK_END)
                if end > done:
                    file.seek(max(done, end - MAX_BYTES))
                    said, done = file.read(MAX_BYTES), end
                    send(said)

        try:
            with to_file(path), periodically(send_new, SEND_S):
                yield
        finally:
            with suppress(Exception):
                send_new()
