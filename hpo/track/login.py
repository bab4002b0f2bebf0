"""Who asks an MLflow server: a user and a password, which are told to no other one."""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

USER = "MLFLOW_TRACKING_USERNAME"
PASSWORD = "MLFLOW_TRACKING_PASSWORD"


@dataclass(frozen=True, slots=True)
class Login:
    """A user of an MLflow server."""

    user: str
    password: str = field(repr=False)

    @property
    def authorization(self) -> str:
        """The header of that name, for HTTP's basic authentication."""
        pair = f"{self.user}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"


@dataclass(frozen=True, slots=True)
class Address:
    """Where MLflow is, and who asks there.

    Args:
        uri: a tracking URI.
        login: `None` for whoever the environment names, as MLflow has it.
    """

    uri: str
    login: Login | None = None


def of_environment() -> Login | None:
    """The user whom the environment names; `None` if it names none."""
    user = os.environ.get(USER)
    return None if user is None else Login(user, os.environ.get(PASSWORD, ""))


_inside: list[Login | None] = []
_before: dict[str, str | None] = {}
_changed = threading.Condition()


@contextmanager
def logged_in(login: Login | None) -> Iterator[None]:
    """Has MLflow's client ask as a user, and nobody else after that.

    The client takes the user from this process's environment at every call, and the address is
    shown to people. So the environment names the user during the calls alone: what is started
    later does not inherit it. Threads with another user, or with none, wait meanwhile.
    """
    with _changed:
        _changed.wait_for(lambda: not _inside or _inside[0] == login)
        _inside.append(login)
        if login is not None and len(_inside) == 1:
            _before.update({name: os.environ.get(name) for name in (USER, PASSWORD)})
            os.environ.update({USER: login.user, PASSWORD: login.password})
    try:
        yield
    finally:
        with _changed:
            _inside.pop()
            if not _inside:
                for name, value in _before.items():
                    os.environ.pop(name, None)
                    if value is not None:
                        os.environ[name] = value
                _before.clear()
            _changed.notify_all()
