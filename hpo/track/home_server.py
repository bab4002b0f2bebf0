"""The MLflow server of a home folder, while a service runs one.

Where there is one, `tracking.uri: default` means it: it has the database, which may be another one
than the home's SQLite file.
"""

from __future__ import annotations

from pathlib import Path

from hpo.errors import InputError
from hpo.files import write_atomically, write_private
from hpo.home import Home
from hpo.process import Process
from hpo.settings import Settings
from hpo.track.login import Address, Login, of_environment

ADMIN = "admin"


class HomeServer(Settings):
    """A server that was started.

    Args:
        url: of the server: a tracking URI.
        process: `None` for one that others have started.
        secured: whether it asks for a user and a password.
    """

    url: str
    process: Process | None
    secured: bool

    @property
    def is_up(self) -> bool:
        return self.process is None or self.process.find() is not None


def read(home: Home) -> HomeServer | None:
    """The server that was started last, whether or not it is up.

    Raises:
        InputError: the file is damaged.
    """
    path = _file(home)
    try:
        return HomeServer.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        why = str(error).splitlines()[0]
        raise InputError(f"{path} is damaged: {why}", "remove it: hpo up") from None


def running(home: Home) -> HomeServer | None:
    """The server, if it is up."""
    server = read(home)
    return server if server is not None and server.is_up else None


def write(home: Home, server: HomeServer) -> None:
    write_atomically(_file(home), server.model_dump_json(indent=1))


def forget(home: Home) -> None:
    _file(home).unlink(missing_ok=True)


def password(home: Home) -> str | None:
    """Of the user "admin", as the last `hpo up` was given it."""
    try:
        return _password(home).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def write_password(home: Home, text: str) -> None:
    """Nobody else can read it: whoever runs studies in this home is the administrator."""
    write_private(_password(home), text)


def address(home: Home, server: HomeServer) -> Address:
    """Where the server is, and who asks there: its administrator, unless the environment names a
    user of its own."""
    known = password(home)
    if not server.secured or known is None or of_environment() is not None:
        return Address(server.url)
    return Address(server.url, Login(ADMIN, known))


def _file(home: Home) -> Path:
    return home.service / "mlflow.json"


def _password(home: Home) -> Path:
    return home.service / "admin-password"
