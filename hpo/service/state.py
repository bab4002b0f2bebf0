"""What is known of a home's service: its processes and where they listen."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hpo.checkpoints import DEFAULT
from hpo.errors import InputError
from hpo.files import write_atomically
from hpo.home import Home
from hpo.service.processes import Process
from hpo.settings import Settings


class Service(Settings):
    """A service that was started.

    Args:
        studies: how many may run side by side.
        ray: the head's process; `address` is for nodes and drivers, `jobs` the job API.
        mlflow: the server's process, `tracking` its address; both `None` on a node that joined.
        checkpoints: where they go if a study file leaves it open.
    """

    schema_version: Literal[1] = 1
    studies: int
    ray: Process
    address: str
    jobs: str
    mlflow: Process | None
    tracking: str | None
    checkpoints: str = DEFAULT

    @property
    def is_up(self) -> bool:
        return all(p.find() is not None for p in (self.ray, self.mlflow) if p is not None)


@dataclass(frozen=True, slots=True)
class ServiceFolder:
    """The files of a home's service; nobody else may look inside."""

    root: Path

    @classmethod
    def of(cls, home: Home) -> ServiceFolder:
        return cls(home.root / "service")

    @property
    def state(self) -> Path:
        return self.root / "service.json"

    @property
    def token(self) -> Path:
        """Whoever has it may run anything as this user."""
        return self.root / "ray-token"

    @property
    def lock(self) -> Path:
        return self.root / "up.lock"

    def log(self, name: str) -> Path:
        return self.root / f"{name}.log"

    def make(self) -> None:
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root.chmod(0o700)

    def read(self) -> Service | None:
        """The service that was started last, whether or not it is up.

        Raises:
            InputError: the file is damaged.
        """
        try:
            return Service.model_validate_json(self.state.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            why = str(error).splitlines()[0]
            raise InputError(f"{self.state} is damaged: {why}", "remove it: hpo up") from None

    def write(self, service: Service) -> None:
        write_atomically(self.state, service.model_dump_json(indent=1))

    def make_token(self) -> None:
        """Makes the token if there is none; it stays the same as long as the home is there."""
        if self.token.exists():
            self.token.chmod(0o600)
            return
        descriptor = os.open(self.token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
