"""The SQLite file under a tracking store: made once, in the right mode, and recognised again."""

from __future__ import annotations

import contextlib
import fcntl
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PREFIX = "sqlite:///"

# MLflow keeps one engine per URI as long as the process lives; its connections are to the files
# that were there at the time.
_OPENED: dict[Path, tuple[int, int] | None] = {}


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


def ensure(path: Path, make_store: Callable[[str], Any]) -> None:
    """Makes the database with MLflow's tables, whole or not at all.

    The tables come in many steps; a file that a killed process left between two of them is one that
    MLflow never opens again. The database is in WAL mode, so that readers such as the UI never
    block the writer; one that exists is left as its owner made it.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(path.name + ".new")
    for left in (scratch, path):
        for suffix in ("", "-wal", "-shm", "-journal"):
            left.with_name(left.name + suffix).unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(scratch)) as database:
        database.execute("PRAGMA journal_mode=WAL")
    make_store(f"{PREFIX}{scratch}").engine.dispose()
    scratch.replace(path)


def open_store(uri: str, path: Path, artifacts: Path | None) -> None:
    """Makes MLflow's store in the file, where there is none, and readies it for many small writes.

    Args:
        uri: MLflow's for `path`.
        artifacts: where new experiments keep theirs; by default where MLflow likes.
    """
    import sqlalchemy
    from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    def make_store(uri: str) -> Any:
        root = str(artifacts or DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH)
        return SqlAlchemyStore(uri, root)  # type: ignore[no-untyped-call]

    with exclusive(path):
        ensure(path, make_store)
        if path in _OPENED and is_replaced(path):
            make_store(uri).engine.dispose()
        engine = make_store(uri).engine  # creates the tables; MlflowClient does so only once
        if not sqlalchemy.event.contains(engine, "connect", relax):
            sqlalchemy.event.listen(engine, "connect", relax)
            engine.dispose()  # those connected already
        _OPENED[path] = identity(path)


def is_replaced(path: Path) -> bool:
    """Whether the file is gone or another one than was opened."""
    return identity(path) != _OPENED[path]


def relax(connection: sqlite3.Connection, _: object) -> None:
    """Waits for the disk at checkpoints only, not at each of the six commits that a trial takes.

    That takes 40 % off a trial. After a loss of power the last commits may be missing, which the
    next start of the tracker makes up for; the file stays whole, if it is in WAL mode.
    """
    if connection.execute("PRAGMA journal_mode").fetchone() == ("wal",):
        connection.execute("PRAGMA synchronous=NORMAL")


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Keeps out other processes: two that create MLflow's tables at once would break them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
