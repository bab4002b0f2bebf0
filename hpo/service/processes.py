"""Processes of ours that outlive the command that starts them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from hpo.settings import Settings

GRACE_S = 5.0
"""For processes whose parent has ended already."""


class Process(Settings):
    """A process, told apart from a later one of the same id by when it began.

    Args:
        created: Unix time in seconds, as the kernel has it.
    """

    pid: int
    created: float

    def find(self) -> psutil.Process | None:
        """The living process; `None` if it has ended."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) < 0.1
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


def start(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Process:
    """Starts a process in a session of its own, so that no terminal takes it along.

    Args:
        environment: on top of this process's. Secrets go here: command lines are public.
        log: what it says; a new file.
    """
    with log.open("wb") as output:
        started = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Process(pid=started.pid, created=psutil.Process(started.pid).create_time())


def stop(process: Process, patience_seconds: float) -> None:
    """Ends a process and those it started, and no others.

    It is asked first, then what it has left behind is; what does not listen is killed.
    """
    found = process.find()
    if found is None:
        return
    family = [found, *found.children(recursive=True)]
    found.terminate()
    psutil.wait_procs([found], patience_seconds)
    for how in ("terminate", "kill"):
        left = [each for each in family if each.is_running()]
        for each in left:
            with suppress(psutil.NoSuchProcess):
                getattr(each, how)()
        psutil.wait_procs(left, GRACE_S)
