"""Copies folders to a store and back. The only file that knows fsspec."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import TypeVar

from upath import UPath

from hpo.checkpoints.lost import StoreLost

log = logging.getLogger(__name__)

R = TypeVar("R")

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0

MAX_BYTES = 1 << 36

Content = dict[str, tuple[int, int]]
"""The files below a folder by path: when each was changed, in nanoseconds, and its size in bytes.
"""


class TooLarge(Exception):
    """More than what is copied to and from a store."""


def content(folder: Path) -> Content:
    """What is in a folder now; files that vanish meanwhile are not in it."""
    found = {}
    for directory, _, names in os.walk(folder):
        for name in names:
            path = Path(directory) / name
            try:
                state = path.stat()
            except FileNotFoundError:
                continue
            found[path.relative_to(folder).as_posix()] = (state.st_mtime_ns, state.st_size)
    return found


def upload(folder: Path, files: Sequence[str], to: str) -> None:
    """Copies files below a folder to a place in a store.

    Raises:
        TooLarge: together they have more than `MAX_BYTES`.
    """
    check_size(sum((folder / name).stat().st_size for name in files))
    target = UPath(to)
    for name in files:
        path = target / name
        if path.protocol in _WITH_FOLDERS:
            path.parent.mkdir(parents=True, exist_ok=True)
        path.fs.put_file(str(folder / name), path.path)


def download(source: str, files: Sequence[str], folder: Path) -> None:
    """Copies files back.

    Raises:
        TooLarge: together they have more than `MAX_BYTES`; none of that is copied.
    """
    paths = {name: UPath(source) / name for name in files}
    check_size(sum(path.fs.size(path.path) or 0 for path in paths.values()))
    for name, path in paths.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        path.fs.get_file(path.path, str(folder / name))


def check_size(size: int) -> None:
    """Refuses a checkpoint that would fill the disks of whoever goes on with it.

    Raises:
        TooLarge: it has more than `MAX_BYTES`.
    """
    if size > MAX_BYTES:
        raise TooLarge(f"a checkpoint must have at most {MAX_BYTES} bytes, got {size}")


def remove(place: str) -> None:
    """Removes all that is below a place, if there is anything."""
    path = UPath(place)
    path.fs.invalidate_cache()
    if path.fs.exists(path.path):
        path.fs.rm(path.path, recursive=True)


def write_text(place: str, text: str) -> None:
    path = UPath(place)
    if path.protocol in _WITH_FOLDERS:
        path.parent.mkdir(parents=True, exist_ok=True)
    path.fs.pipe_file(path.path, text.encode())


def read_text(place: str) -> str:
    path = UPath(place)
    return bytes(path.fs.cat_file(path.path)).decode()


def stays_inside(name: str) -> bool:
    """Whether a file's path stays below the folder that it is relative to."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def persistently(action: Callable[[], R], patience_seconds: float, what: str) -> R:
    """Does something that may fail for a while, again and again.

    Raises:
        StoreLost: it still failed when patience was over, or in a way that does not pass.
    """
    deadline = time.monotonic() + patience_seconds
    pause = FIRST_PAUSE_S
    while True:
        try:
            return action()
        except Exception as error:  # each store has errors of its own
            why = f"{what}: {type(error).__name__}: {str(error).strip()[:300]}"
            if isinstance(error, _LASTING) or time.monotonic() + pause > deadline:
                raise StoreLost(
                    why,
                    "see that every node reaches the store and has its credentials"
                    " (AWS_..., GOOGLE_APPLICATION_CREDENTIALS), then run the study again",
                ) from error
            if pause == FIRST_PAUSE_S:
                log.warning("%s; trying again for %.0f s", why, patience_seconds)
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)


_LASTING = (FileNotFoundError, PermissionError, ImportError, TooLarge)
"""No bucket, no such object, no right to it, no package for it, or too much: what waiting does not
mend."""

_WITH_FOLDERS = ("", "file", "local")
