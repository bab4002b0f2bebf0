"""Where the record is kept: a file in the study's folder, or a PostgreSQL database.

Importing this loads neither optuna nor psycopg, so that a study file is checked without them.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hpo.urls import holds_password

if TYPE_CHECKING:
    from hpo.search.journal.base import Journal as Journal

FILE = "default"
"""The `storage` that means the file."""


def open_journal(storage: str, file: Path, study_id: str, writable: bool) -> Journal:
    """Opens a study's journal.

    Args:
        storage: "default", or the URL of a PostgreSQL database.
        file: the journal's file, where `storage` is "default".
        study_id: what the study is called in a database; different for any two studies.
        writable: for the one process that writes; it closes the journal when it is done.

    Raises:
        InputError: the journal is damaged, or there is none to read, or the database cannot be
            used; the message says why.
        StudyConflict: another process writes to this study in the database. Writers of a file are
            kept apart by whoever opens it.
    """
    if storage == FILE:
        from hpo.search.journal.file import FileJournal

        return FileJournal(file, writable)
    from hpo.search.journal.postgres import PostgresJournal

    return PostgresJournal(storage, study_id, writable)


def journal_exists(storage: str, file: Path, study_id: str) -> bool:
    """Whether something was ever written to a study's journal.

    Raises:
        InputError: the database cannot be used.
    """
    if storage == FILE:
        return file.exists() and file.stat().st_size > 0
    from hpo.search.journal import postgres

    return postgres.exists(storage, study_id)


def forget(storage: str, file: Path, study_id: str) -> None:
    """Removes a study's journal, if there is one.

    Raises:
        InputError: the database cannot be used.
        StudyConflict: another process writes to this study in the database.
    """
    if storage == FILE:
        file.unlink(missing_ok=True)
        return
    from hpo.search.journal import postgres

    postgres.forget(storage, study_id)


def storage_mistake(storage: str) -> str | None:
    """What is wrong with the `storage` of a study file, if anything; the database is not asked."""
    if storage == FILE:
        return None
    rule = f'must be "{FILE}" or postgresql://USER@HOST/DATABASE'
    try:
        url = urlsplit(storage)
        _ = "," in url.netloc or url.port  # several hosts, each with a port, are for libpq to read
    except ValueError:
        # Without what was given: what cannot be taken apart may hold a password anywhere.
        return f"{rule}, got something that is no URL"
    if url.scheme not in ("postgresql", "postgres"):
        return f"{rule}, got {url.scheme + '://...' if url.scheme else repr(storage)}"
    if not storage.startswith(f"{url.scheme}://"):
        return f"{rule}, in small letters and with //"
    if holds_password(storage):
        return (
            "must not hold a password, since the URL is stored with the study;"
            " put it in the variable PGPASSWORD or in ~/.pgpass"
        )
    if importlib.util.find_spec("psycopg") is None:
        return "a PostgreSQL database needs the package psycopg: pip install 'hpo[postgres]'"
    return None
