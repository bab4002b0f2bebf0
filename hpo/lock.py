"""A lock that dies with its holder."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from hpo.errors import StudyConflict


class FileLock:
    """Held by one process; the kernel releases it however that process ends.

    Args:
        path: the lock's file; created, and never removed, since removing it would be a race.
        wait_seconds: how long to wait for another holder.

    Raises:
        StudyConflict: another process holds it still.
    """

    def __init__(self, path: Path, wait_seconds: float = 0.0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+")
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    self._file.seek(0)
                    holder = self._file.read().strip() or "unknown"
                    self._file.close()
                    raise StudyConflict(
                        f"another process (id {holder}) is running the study {path.parent.name!r}",
                        "wait for it, or stop it first",
                    ) from None
                time.sleep(0.05)
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def __enter__(self) -> FileLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Gives the lock back; may be called again."""
        if not self._file.closed:
            # Closing alone would leave it held by a child that was forked meanwhile.
            fcntl.flock(self._file, fcntl.LOCK_UN)
            self._file.close()


def is_held(path: Path) -> bool:
    """Whether some process holds the lock now."""
    try:
        with path.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
