"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import threading
from pathlib import Path


def append_bounded(path: Path, data: bytes, keep_bytes: int) -> None:
    """Appends to a file. One that has grown to twice `keep_bytes` is cut to its last so many.

    Raises:
        OSError: it could not be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        file.write(data)
        if file.tell() > 2 * keep_bytes:
            file.seek(-keep_bytes, os.SEEK_END)
            end = file.read()
            file.truncate(0)
            file.write(end)


def read_bounded(path: Path, max_bytes: int) -> bytes:
    """All that is in a file, which should be small.

    Raises:
        ValueError: it is larger than `max_bytes`.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise ValueError(f"it must have at most {max_bytes} bytes")
    return data


def read_end(path: Path, max_bytes: int) -> str:
    """The last of what a text file says, at most so much of it."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - max_bytes))
        return file.read(max_bytes).decode(errors="replace")


def write_atomically(path: Path, text: str) -> None:
    """Replaces `path` by `text`; a crash leaves the old file or the new one."""
    _replace(path, text, 0o666)


def write_private(path: Path, text: str) -> None:
    """Replaces `path` by `text` likewise, and nobody else can read it at any moment."""
    _replace(path, text, 0o600)


def _replace(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}-{os.getpid()}-{threading.get_ident()}")
    scratch.unlink(missing_ok=True)  # of a process that had the same id; its mode would stay
    try:
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
