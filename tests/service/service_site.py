"""A service, driven by the commands that people give."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from hpo.files import write_atomically
from hpo.home import Home
from hpo.service.processes import MARK
from hpo.service.standing import standing
from hpo.service.state import Service, ServiceFolder
from hpo.standing import StudyState

ROOT = Path(__file__).parents[2]

PATIENCE_S = 180.0


@dataclass
class Site:
    """A home, a folder of studies, and the commands on them."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder = self.root / "mine"
        self.folder.mkdir()
        shutil.copy(Path(__file__).parent / "gated.py", self.folder)
        self.home = Home(self.root / "home")

    def hpo(self, *args: object, code: int = 0, **environment: str) -> str:
        """Runs a command, checks its exit code, and returns all it printed."""
        done = subprocess.run(
            self.command(*args),
            env={**os.environ, **self.variables(), **environment},
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=400,
        )
        assert done.returncode == code, done.stdout
        return done.stdout

    def command(self, *args: object) -> list[str]:
        return [sys.executable, "-c", "from hpo.cli import main; main()", *map(str, args)]

    def variables(self) -> dict[str, str]:
        return {
            "HPO_HOME": str(self.home.root),
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "200",
            **self.environment,
        }

    @property
    def service(self) -> Service:
        found = ServiceFolder.of(self.home).read()
        assert found is not None
        return found

    def write(self, name: str, trials: int = 3, nap: float = 0, **changes: Any) -> Path:
        """A study that stands still until `open` is called.

        Args:
            nap: seconds that a trial takes even then.
        """
        study = {
            "name": name,
            "trainable": "gated:train",
            "space": {"x": {"low": 0.0, "high": 1.0}, "gate": str(self.gate(name)), "nap": nap},
            "objective": {"metric": "loss"},
            "search": {"sampler": "random", "trials": trials},
            **changes,
        }
        path = self.folder / f"{name}.yaml"
        path.write_text(json.dumps(study))
        return path

    def gate(self, name: str) -> Path:
        return self.root / f"{name}.gate"

    def open(self, *names: str) -> None:
        for name in names:
            write_atomically(self.gate(name), "")

    def let_through(self, name: str, trials: int) -> None:
        """Lets the first trials of a study end, and no others."""
        write_atomically(self.gate(name), str(trials))

    def begun(self, name: str) -> list[dict[str, Any]]:
        """Each beginning of a trial, in their order."""
        log = self.gate(name).with_suffix(".log")
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def state(self, name: str) -> StudyState:
        """As `hpo list` has it."""
        stands = standing(name, self.home)
        assert stands is not None
        return stands.state

    def processes(self) -> list[psutil.Process]:
        """All that was started on this home."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.environ().get(MARK, "").startswith(str(self.home.root)):
                    found.append(process)
        return found


def until(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, f"not after {PATIENCE_S:.0f} s: {what}"
        time.sleep(0.1)
