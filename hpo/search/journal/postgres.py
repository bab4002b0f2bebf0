"""The journal in a PostgreSQL database: one operation a row, one batch a statement.

The writer holds an advisory lock of its session, which dies with the session and so with the
process. A connection that breaks is made again, for minutes, so a database that restarts is waited
for. Who has the lock again knows that the session before has ended, and what it left: the rows
themselves tell whether the interrupted batch was committed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from hpo.errors import InputError, StudyConflict
from hpo.search.journal.base import Journal, Operation, parse

PATIENCE_SECONDS = 300.0
"""How long a writer whose connection broke waits for the database."""

CONNECT_SECONDS = 10
"""How long one attempt to connect may take."""

LOCK_SECONDS = 3.0
"""How long the server may take to notice that the writer before was killed."""

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
"""Seconds between attempts to connect; each pause is twice the one before."""

# Without these a partner whose machine has vanished is noticed after hours. They hold where the URL
# says nothing else, and are without effect on a socket file.
_CONNECTION = {
    "application_name": "hpo",
    "connect_timeout": str(CONNECT_SECONDS),
    "tcp_user_timeout": "30000",  # ms
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
}
_SESSION = """
    SELECT set_config('tcp_keepalives_idle', '10', false),
           set_config('tcp_keepalives_interval', '5', false),
           set_config('tcp_keepalives_count', '3', false)
"""
_DURABLE = """
    SELECT set_config('synchronous_commit', 'on', false)
     WHERE current_setting('synchronous_commit') = 'off'
"""

_LOCK_TABLE = "SELECT pg_advisory_xact_lock(hashtextextended('hpo_journal', 0))"
_LOCK_STUDY = "SELECT pg_advisory_lock(hashtextextended('hpo_journal/' || %s, 0))"
_LOCK_SECONDS = "SELECT set_config('lock_timeout', %s, true)"

_HAS_TABLE = "SELECT to_regclass('hpo_journal') IS NOT NULL"
# Text and not jsonb: reports may be NaN, and an operation is read as it was written.
_CREATE = """
    CREATE TABLE IF NOT EXISTS hpo_journal (
        study text NOT NULL,
        position bigint NOT NULL,
        operation text NOT NULL,
        PRIMARY KEY (study, position)
    )
"""
_LOAD = "SELECT position, operation FROM hpo_journal WHERE study = %s ORDER BY position"
_SINCE = """
    SELECT operation FROM hpo_journal WHERE study = %s AND position >= %s ORDER BY position
"""
_EXISTS = "SELECT EXISTS (SELECT FROM hpo_journal WHERE study = %s)"
_LENGTH = "SELECT coalesce(max(position) + 1, 0) FROM hpo_journal WHERE study = %s"
_INSERT = """
    INSERT INTO hpo_journal (study, position, operation)
    SELECT %s::text, %s::bigint + ordinality - 1, line
      FROM unnest(%s::text[]) WITH ORDINALITY AS batch (line, ordinality)
"""


class PostgresJournal(Journal):
    """One study's rows of the table `hpo_journal`, which a writer creates if absent.

    Args:
        url: of the database.
        study_id: which rows.
        writable: a writer keeps its connection, and with it the lock, until it is closed.
        patience_seconds: how long a write waits for a database that has gone.

    Raises:
        InputError: the database cannot be used.
        StudyConflict: another process writes to this study.
    """

    def __init__(
        self,
        url: str,
        study_id: str,
        writable: bool,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        super().__init__(writable)
        self._url = url
        self._study = study_id
        self._patience = patience_seconds
        if writable:
            with _usable(url):
                self._connection = _connect_as_writer(url, study_id)
                self._length = _one(self._connection, _LENGTH, study_id)

    def close(self) -> None:
        super().close()
        if self._writable:
            self._connection.close()

    def _load(self) -> Iterator[Operation]:
        if self._writable:
            yield from self._read(self._connection)
            return
        with _usable(self._url), closing(_connect(self._url)) as connection:
            if not _is_there(connection, self._study):
                raise InputError(f"there is no record of study {self._study!r} in {self._url}")
            yield from self._read(connection)

    def _read(self, connection: Connection) -> Iterator[Operation]:
        with _usable(self._url):
            rows = connection.execute(_LOAD, [self._study])
        for expected, (position, line) in enumerate(rows):
            place = f"{self._url}: table hpo_journal, study {self._study!r}, position {expected}"
            yield parse(line if position == expected else "", place)

    def _write(self, lines: list[str]) -> None:
        lost: float | None = None
        pause = FIRST_PAUSE
        while True:
            try:
                if self._connection.closed:
                    self._connection = _connect_as_writer(self._url, self._study)
                if lost is None or not self._is_written(lines):
                    self._connection.execute(_INSERT, [self._study, self._length, lines])
                self._length += len(lines)
                return
            except (psycopg.Error, StudyConflict) as error:
                if not self._connection.closed:
                    raise OSError(f"{self._url}: {_line(error)}") from error
                lost = lost or time.monotonic()
                if time.monotonic() + pause > lost + self._patience:
                    raise OSError(
                        f"{self._url} was waited for {self._patience:g} s: {_line(error)}"
                    ) from error
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _is_written(self, lines: list[str]) -> bool:
        """Whether the batch was committed before the connection broke."""
        found = self._connection.execute(_SINCE, [self._study, self._length]).fetchall()
        if found and [line for (line,) in found] != lines:
            raise OSError(f"{self._url}: another process has written to study {self._study!r}")
        return bool(found)


def exists(url: str, study_id: str) -> bool:
    """Whether anything was written to a study."""
    with _usable(url), closing(_connect(url)) as connection:
        return _is_there(connection, study_id)


def forget(url: str, study_id: str) -> None:
    """Removes a study that no process writes to."""
    with _usable(url), closing(_connect_as_writer(url, study_id)) as connection:
        connection.execute("DELETE FROM hpo_journal WHERE study = %s", [study_id])


def _connect(url: str) -> Connection:
    given = conninfo_to_dict(url)
    ours = {name: value for name, value in _CONNECTION.items() if name not in given}
    return psycopg.connect(make_conninfo(url, **ours), autocommit=True)


def _connect_as_writer(url: str, study_id: str) -> Connection:
    """A connection whose session holds the study's lock.

    Raises:
        StudyConflict: another session holds it.
    """
    connection = _connect(url)
    try:
        connection.execute(_SESSION)
        connection.execute(_DURABLE)
        if not _one(connection, _HAS_TABLE):
            with connection.transaction():  # two that create a table at once would collide
                connection.execute(_LOCK_TABLE)
                connection.execute(_CREATE)
        with connection.transaction():  # the limit ends with it, the lock does not
            connection.execute(_LOCK_SECONDS, [f"{LOCK_SECONDS:g}s"])
            connection.execute(_LOCK_STUDY, [study_id])
    except psycopg.errors.LockNotAvailable:
        connection.close()
        raise StudyConflict(
            f"another process writes to the study {study_id!r} in {url}",
            "wait for it, or stop it first",
        ) from None
    except BaseException:
        connection.close()
        raise
    return connection


def _is_there(connection: Connection, study_id: str) -> bool:
    return bool(_one(connection, _HAS_TABLE) and _one(connection, _EXISTS, study_id))


def _one(connection: Connection, query: LiteralString, *values: str) -> Any:
    row = connection.execute(query, values).fetchone()
    assert row is not None
    return row[0]


@contextmanager
def _usable(url: str) -> Iterator[None]:
    """Inside, what goes wrong with the database is for the user to mend."""
    try:
        yield
    except psycopg.Error as error:
        raise InputError(
            f"the database {url} cannot be used: {_line(error)}",
            "see that it runs and lets you in: `storage` in the study file names it, the variable"
            " PGPASSWORD or ~/.pgpass has the password",
        ) from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
