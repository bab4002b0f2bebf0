"""How a service is to be: what `hpo up` is told, and what it was told before."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from hpo.checkpoints import DEFAULT, place_mistake
from hpo.errors import InputError
from hpo.service import ray_head
from hpo.settings import Settings
from hpo.urls import holds_password, is_loopback, without_password

LOOPBACK = "127.0.0.1"

MIN_PASSWORD = 12
"""Characters; MLflow takes no shorter one."""


class Options(Settings):
    """How a service was started; without secrets, since it is written down.

    Args:
        studies: how many may run side by side.
        host: the address to listen on.
        store: MLflow's database, without its password; `None`: SQLite in the home folder.
        artifacts: where MLflow keeps files, and checkpoints go below `checkpoints/` unless it is a
            folder: a place as in a study file's `checkpoints`; `None`: in the home folder.
        secured: whether MLflow asks for a user and a password.
    """

    studies: int = Field(4, ge=1)
    host: str = LOOPBACK
    store: str | None = None
    artifacts: str | None = None
    secured: bool = False

    @property
    def checkpoints(self) -> str:
        """Where they go if a study file leaves it open: to the store of the artifacts, if that is
        one which other machines reach."""
        if self.artifacts is None or "://" not in self.artifacts:
            return DEFAULT
        return f"{self.artifacts.rstrip('/')}/checkpoints"


@dataclass(frozen=True, slots=True)
class Given:
    """What `hpo up` was told; `None` where it was told nothing.

    Args:
        store: may hold a password.
        password: of MLflow's user "admin"; needed beyond loopback.
    """

    studies: int | None = None
    host: str | None = None
    store: str | None = None
    artifacts: str | None = None
    password: str | None = None

    def over(self, before: Options | None) -> Options:
        """The options of a service that is to start.

        Args:
            before: of one that did not come to an orderly end, and is to go on as it was.

        Raises:
            InputError: they are refused.
        """
        options = (before or Options()).model_copy(update=self._told())
        _check(options, self.password)
        return options

    def differing(self, running: Options) -> list[str]:
        """What was told and is otherwise in a service that is up, for people."""
        now = running.model_dump()
        return [
            f"{name}: {now[name]!r}, asked for {value!r}"
            for name, value in self._told().items()
            if value != now[name]
        ]

    def _told(self) -> dict[str, object]:
        artifacts = self.artifacts
        if artifacts is not None and "://" not in artifacts:
            artifacts = str(Path(artifacts).absolute())
        told = {
            "studies": self.studies,
            "host": self.host,
            "store": None if self.store is None else without_password(self.store),
            "artifacts": artifacts,
            "secured": True if self.password else None,
        }
        return {name: value for name, value in told.items() if value is not None}


def check_url(option: str, url: str | None, variable: str) -> None:
    """Refuses a password on a command line, which everybody on the machine can read.

    Raises:
        InputError: there is one.
    """
    if url is not None and holds_password(url):
        raise InputError(
            f"{option} must not hold a password: command lines are public",
            f"put {variable}",
        )


def is_for_others(host: str) -> bool:
    """Whether a service on `host` can be reached from other machines."""
    return not is_loopback(ray_head.listens_on(host))


def _check(options: Options, password: str | None) -> None:
    if options.host in ("0.0.0.0", "::", ""):
        raise InputError(
            f"--host must be one address of this machine, got {options.host!r}, which means all",
            "name the one by which the others reach it",
        )
    if ":" in options.host:
        raise InputError(
            f"--host must be an IPv4 address or a name, got {options.host!r}",
            f"{LOOPBACK}, or the IPv4 address by which the others reach this machine",
        )
    if options.artifacts is not None:
        check_place(options.artifacts)
    if is_for_others(options.host) and not options.secured:
        raise InputError(
            f"to listen on {options.host} is to let others in, and MLflow would not ask who they"
            f" are; but for {LOOPBACK} Ray listens on all addresses",
            f"set HPO_ADMIN_PASSWORD, the password of its user 'admin', or stay on {LOOPBACK}",
        )
    if password is not None and len(password) < MIN_PASSWORD:
        raise InputError(f"the admin password must have at least {MIN_PASSWORD} characters")


def check_place(artifacts: str) -> None:
    """Refuses what checkpoints cannot be kept in either.

    Raises:
        InputError: it is such a place, or has credentials in it.
    """
    mistake = place_mistake(artifacts)
    if mistake is not None:
        raise InputError(f"--artifacts {mistake}")


def secret_store() -> str | None:
    """MLflow's database as the environment has it, where a password may stand in it."""
    return os.environ.get("HPO_STORE") or None


def admin_password(host: str | None, ask: Callable[[], str] | None) -> str | None:
    """The password of MLflow's user "admin": from the environment, or asked for where it is needed.

    Args:
        ask: `None` where there is nobody to ask.
    """
    known = os.environ.get("HPO_ADMIN_PASSWORD") or None
    if known is None and host is not None and is_for_others(host) and ask is not None:
        return ask()
    return known
