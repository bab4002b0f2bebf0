"""What is known of a home's service: its processes and where they listen."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from hpo.errors import InputError, StudyConflict
from hpo.files import write_atomically, write_private
from hpo.home import Home
from hpo.lock import FileLock
from hpo.process import Process
from hpo.service.options import Options
from hpo.settings import Settings

LOCK_WAIT_S = 5.0

S = TypeVar("S", bound=Settings)


class Service(Settings):
    """The Ray head of a service that was started.

    Args:
        ray: its process; `None` for one that others have started.
        address: HOST:PORT, for nodes and drivers.
        jobs: the URL of its job API.
    """

    schema_version: Literal[1] = 1
    options: Options
    ray: Process | None
    address: str
    jobs: str

    @property
    def is_up(self) -> bool:
        return self.ray is None or self.ray.find() is not None


class Node(Settings):
    """This machine as a node of another one's service."""

    schema_version: Literal[1] = 1
    ray: Process
    address: str


@dataclass(frozen=True, slots=True)
class ServiceFolder:
    """The files of a home's service; nobody else may look inside."""

    root: Path

    @classmethod
    def of(cls, home: Home) -> ServiceFolder:
        return cls(home.service)

    @property
    def state(self) -> Path:
        return self.root / "service.json"

    @property
    def node(self) -> Path:
        return self.root / "node.json"

    @property
    def token(self) -> Path:
        """Whoever has it may run anything as this user."""
        return self.root / "ray-token"

    @property
    def closing(self) -> Path:
        """There while the service goes down: no study is begun any more."""
        return self.root / "closing"

    def log(self, name: str) -> Path:
        return self.root / f"{name}.log"

    def make(self) -> None:
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root.chmod(0o700)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One command at a time starts or ends the service.

        Raises:
            InputError: another one is at it.
        """
        try:
            lock = FileLock(self.root / "up.lock", LOCK_WAIT_S)
        except StudyConflict:
            raise InputError(
                f"another hpo up or hpo down is at work on {self.root.parent}", "wait for it"
            ) from None
        with lock:
            yield

    def read(self) -> Service | None:
        """The service that was started last, whether or not it is up.

        Raises:
            InputError: the file is damaged.
        """
        return self._read(Service, self.state)

    def read_node(self) -> Node | None:
        """As what this machine joined another's service last."""
        return self._read(Node, self.node)

    def write(self, what: Service | Node) -> None:
        path = self.state if isinstance(what, Service) else self.node
        write_atomically(path, what.model_dump_json(indent=1))

    def make_token(self) -> None:
        """Makes the token if there is none; it stays the same as long as the home is there."""
        if self.token.exists():
            self.token.chmod(0o600)
            return
        self.keep_token(secrets.token_hex(32))

    def keep_token(self, token: str) -> None:
        """Writes the token down."""
        write_private(self.token, token)

    @staticmethod
    def _read(kind: type[S], path: Path) -> S | None:
        try:
            return kind.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            why = str(error).splitlines()[0]
            raise InputError(f"{path} is damaged: {why}", "remove it: hpo up") from None
