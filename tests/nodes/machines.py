"""A service, and nodes of its own that stand for other machines: with folders of their own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from hpo.home import Home
from hpo.service import ray_head
from hpo.service.down import down
from hpo.service.options import Given
from hpo.service.queue import Entry, Place, Queue
from hpo.service.state import Service, ServiceFolder
from hpo.service.up import up

ROOT = Path(__file__).parents[2]
TIMEOUT_SECONDS = 150.0


HIDE = 'mount -t tmpfs tmpfs "$0" && exec "$@"'
"""In a mount namespace of its own a process finds an empty folder in place of another."""

HIDES = subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0
"""Whether this user may do that; elsewhere machines could look into each other's folders."""


class Machine:
    """A node of a service with folders of its own, which does not see those of the head. It has one
    CPU, and a GPU that is only declared."""

    def __init__(self, folder: Path, head: Path, service: Service, token: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        shutil.copy(token, folder / "token")  # as whoever lets a machine join does
        host = service.address.rpartition(":")[0]
        hidden = ["unshare", "--mount", "sh", "-c", HIDE, str(head)] if HIDES else []
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [*hidden, *ray_head.node(host, service.address), "--num-cpus=1", "--num-gpus=1"],
                cwd=folder,
                env={
                    **os.environ,
                    **ray_head.environment(folder / "token"),
                    **ray_head.network(host),
                    "HPO_HOME": str(folder / "home"),
                    "TMPDIR": str(folder),
                },
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def processes(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(self._process.pid)
            return [process, *process.children(recursive=True)]
        return []

    def vanish(self) -> None:
        """All of it at once, as when the power fails."""
        found = self.processes()  # stopped first, so that none sees another one die
        for signal_ in (signal.SIGSTOP, signal.SIGKILL):
            for process in found:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(signal_)
        self._process.wait()


class Cluster:
    """A service with one CPU on the head, and machines that joined."""

    def __init__(self, folder: Path, given: Given) -> None:
        self.folder = folder
        self.head = folder / "head"
        self.home = Home(self.head / "home")
        started = up(self.home, given)
        self.service, self.tracking = started.service, started.tracking.url
        self.machines: list[Machine] = []

    def add(self) -> Machine:
        number = len(self.machines)
        token = ServiceFolder.of(self.home).token
        machine = Machine(self.folder / f"machine-{number}", self.head, self.service, token)
        self.machines.append(machine)
        return machine

    def end(self) -> None:
        for machine in self.machines:
            machine.vanish()
        down(self.home)

    def submit(self, path: Path) -> None:
        """In a process of its own, as by the command: this one may have Ray loaded already."""
        code = (
            "import sys; from hpo.home import Home; from hpo.service.submit import submit;"
            " submit(sys.argv[1], Home.at(sys.argv[2]))"
        )
        subprocess.run([sys.executable, "-c", code, path, self.home.root], check=True)

    def entry(self, name: str) -> Entry:
        entry = Queue(self.home).entry(name)
        assert entry is not None
        return entry

    def wait(self, name: str) -> Entry:
        """Until a study has left the queue."""
        until(lambda: self.entry(name).place not in (Place.QUEUED, Place.RUNNING), self.said)
        return self.entry(name)

    def said(self) -> str:
        """What helps when something goes wrong."""
        logs = [*self.home.root.glob("studies/*/engine.log"), *self.folder.glob("machine-*/log")]
        return "\n".join(f"== {log}\n{log.read_text()[-3000:]}" for log in logs)


@contextmanager
def cluster(folder: Path, given: Given) -> Iterator[Cluster]:
    made = Cluster(folder, given)
    try:
        yield made
    finally:
        made.end()


def until(condition: Callable[[], bool], said: Callable[[], str] = str) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, said()
        time.sleep(0.1)


def notes(log: Path) -> list[dict[str, Any]]:
    """What `wandering.train` wrote down."""
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
