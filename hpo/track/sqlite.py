"""The SQLite file under a tracking store: made once, in the right mode, and recognised again."""

from __future__ import annotations

import contextlib
import fcntl
import sqlite3
from collections.abc import Iterator
from pathlib import Path

PREFIX = "sqlite:///"


def path_of(uri: str) -> Path | None:
    """The file of a SQLite URI; `None` for any other URI, and for a database in memory."""
    name = uri.removeprefix(PREFIX).partition("?")[0]
    return Path(name) if uri.startswith(PREFIX) and name and name != ":memory:" else None


def identity(path: Path) -> tuple[int, int] | None:
    """Tells a file from another one put in its place; `None` if there is no file.

    An open connection to a deleted database goes on working without an error, unseen by anyone.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def ensure(path: Path) -> None:
    """Creates the database in WAL mode, so that readers such as the UI never block the writer.

    The mode is a property of the file. One that exists is left as its owner made it.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode=WAL")


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Keeps out other processes: two that create MLflow's tables at once would break them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
