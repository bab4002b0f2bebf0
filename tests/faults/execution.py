"""One study that a fault is done to: it is run by the command, as a user would."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow_server import MlflowServer
from object_stores import ObjectStore
from postgres import PostgresServer
from steady import notes

from hpo.errors import InputError
from hpo.home import Home
from hpo.records import State, TrialRecord
from hpo.result import load_study

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NAME = "steady"
TRIALS = 14  # the sampler's model takes over after ten
TIMEOUT_SECONDS = 240.0

Seen = dict[int, TrialRecord]
"""Trials by number."""


def ended(seen: Seen) -> set[int]:
    return {number for number, trial in seen.items() if trial.state is not State.RUNNING}


@dataclass
class Execution:
    """A study in a home of its own.

    Args:
        workers: 0 runs it inline; otherwise so many Ray workers.
        rng: where the moment of the fault comes from.
        nap: how long a step takes; there are five in a trial.
        lease_seconds: how long a worker may be silent.
        server, database, store: where the study is published and recorded and its checkpoints are,
            if not in its home.
    """

    folder: Path
    workers: int
    rng: random.Random
    nap: float = 0.03
    lease_seconds: float = 60
    server: MlflowServer | None = None
    database: PostgresServer | None = None
    store: ObjectStore | None = None

    def __post_init__(self) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        self.folder.mkdir(parents=True, exist_ok=True)
        self.home = Home(self.folder / "home")
        self.log = self.folder / "log"
        self.said = self.folder / "said"
        self.study = self.folder / f"{NAME}.yaml"
        self.checkpoints = self.store.bucket() if self.store else "default"
        shutil.copy(HERE / "steady.py", self.folder)

    @property
    def journal(self) -> Path:
        return self.home.study(NAME).journal

    @property
    def storage(self) -> str:
        return self.database.url_of(self.folder.name) if self.database else "default"

    @property
    def experiment(self) -> str:
        return self.folder.name

    # -- running ------------------------------------------------------------------------------

    def begin(self, **environment: str) -> subprocess.Popen[bytes]:
        """Starts `hpo run`, the leader of a process group of its own.

        Args:
            environment: more variables; with any `HPO_FAULT_...` the process brings the fault along
                in itself.
        """
        self._write_study()
        path = [str(ROOT), *([str(HERE / "injected")] if environment else [])]
        with self.said.open("ab") as said:
            process = subprocess.Popen(
                [
                    *(Path(sys.executable).parent / "hpo", "run", self.study.name),
                    *([] if self.workers else ["--inline"]),
                ],
                cwd=self.folder,
                env={
                    **os.environ,
                    **environment,
                    **(self.store.environment if self.store else {}),
                    "HPO_HOME": str(self.home.root),
                    "PYTHONPATH": os.pathsep.join(path),
                    "OMP_NUM_THREADS": "1",
                },
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    @property
    def first(self) -> subprocess.Popen[bytes]:
        """The run that the fault was done to."""
        return self.processes[0]

    def wait(self) -> int:
        """Waits for the end of the last run; returns its exit code."""
        return self.processes[-1].wait(TIMEOUT_SECONDS)

    def kill_all(self) -> None:
        """Whatever is still there of all runs."""
        for process in self.processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _write_study(self) -> None:
        study = {
            "name": NAME,
            "trainable": "steady:train",
            "space": {"x": {"low": 0, "high": 1}, "nap": self.nap, "log": str(self.log)},
            "objective": {"metric": "loss"},
            "search": {"sampler": "tpe", "trials": TRIALS, "seed": 7},
            "tracking": {
                "uri": self.server.url if self.server else "default",
                "experiment": self.experiment,
            },
            "storage": self.storage,
            "checkpoints": self.checkpoints,
            "resources": {"workers": self.workers or None, "lease_seconds": self.lease_seconds},
        }
        self.study.write_text(json.dumps(study, indent=1))

    # -- looking on ---------------------------------------------------------------------------

    def notes(self, event: str) -> list[dict[str, Any]]:
        return [note for note in notes(self.log) if note["event"] == event]

    def seen(self) -> Seen:
        """The trials as the record has them now; none if there is no record yet."""
        try:
            return {trial.number: trial for trial in load_study(NAME, self.home).trials}
        except (InputError, KeyError):
            return {}

    def random_moment(self) -> None:
        """Returns at some moment of the run: while it starts, or in the midst of some trial."""
        first = len(self.notes("start"))
        begun = self.rng.randrange(-1, TRIALS - 1)
        self.until(lambda: len(self.notes("start")) - first >= begun, "the study does not get on")
        time.sleep(self.rng.uniform(0, 6 * self.nap if begun >= 0 else 3))

    def some_trial_runs(self) -> None:
        """Returns at some moment when at least one trial has begun."""
        begun = self.rng.randrange(1, TRIALS - 1)
        self.until(lambda: len(self.notes("start")) >= begun, "the study does not get on")
        time.sleep(self.rng.uniform(0, 6 * self.nap))

    def until(self, condition: Callable[[], bool], otherwise: str) -> None:
        """Waits for a condition, or until the run has ended."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not condition() and self.processes[-1].poll() is None:
            assert time.monotonic() < deadline, f"{otherwise}\n{self.said.read_text()}"
            time.sleep(0.02)

    def coordinator(self) -> int:
        """The id of the process that writes the record."""
        return int((self.home.study(NAME).root / "record.lock").read_text())

    def worker(self) -> int:
        """The id of a process that runs a trial, or ran the last."""
        ended = {(note["number"], note["pid"]) for note in self.notes("end")}
        begun = [(note["number"], note["pid"]) for note in self.notes("start")]
        return int(([pair for pair in begun if pair not in ended] or begun)[-1][1])
