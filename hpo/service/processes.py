"""Processes of ours that outlive the command that starts them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from hpo.process import Process

GRACE_S = 5.0
"""For processes whose parent has ended already."""

MARK = "HPO_SERVICE"
"""In the environment of whatever a process of ours starts: by it those are found whose parent has
ended."""

NOT_HANDED_ON = ("HPO_ADMIN_PASSWORD", "HPO_STORE")
"""Secrets of the command that starts a process; who is to know them is told in its own words."""


def start(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Process:
    """Starts a process in a session of its own, so that no terminal takes it along.

    It works in the folder of its log: modules in the user's folder are not to be taken for those
    that it imports.

    Args:
        environment: on top of this process's. Secrets go here: command lines are public.
        log: what it says; a new file.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in NOT_HANDED_ON}
    with log.open("wb") as output:
        started = subprocess.Popen(
            command,
            env={**inherited, **environment, MARK: str(log)},
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Process.of(started.pid)


def stop(process: Process | None, log: Path, patience_seconds: float) -> bool:
    """Ends a process and those it started, and no others.

    It is asked first, then what it has left behind is; what does not listen is killed.

    Args:
        process: `None` where whoever started it was cut short before it could be written down.
        log: that it was started with.

    Returns:
        whether there was anything to end.
    """
    found = process.find() if process is not None else None
    family = list(_family(process, log))
    if found is not None:
        family.append(found)
        with suppress(psutil.NoSuchProcess):  # it may end by itself at any moment
            family += found.children(recursive=True)
            found.terminate()
        psutil.wait_procs([found], patience_seconds)
    for how in ("terminate", "kill"):
        left = [each for each in family if each.is_running()]
        for each in left:
            with suppress(psutil.NoSuchProcess):
                getattr(each, how)()
        psutil.wait_procs(left, GRACE_S)
    return bool(family)


def listens(process: Process, port: int) -> bool:
    """Whether it is this process, or one that it started, that answers at a port."""
    found = process.find()
    family = [found, *found.children(recursive=True)] if found is not None else []
    for each in family:
        with suppress(psutil.Error):
            for connection in each.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                    return True
    return False


def _family(process: Process | None, log: Path) -> Iterator[psutil.Process]:
    """What a process has started that still lives, whether or not it lives itself."""
    ourselves = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for each in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if each.pid in ourselves or (process and each.create_time() < process.created - 1):
                continue
            environment = each.environ()
            # Ray's workers write their title over their environment.
            titled = MARK not in environment and each.name().startswith("ray")
            session = process is not None and titled and os.getsid(each.pid) == process.pid
            if environment.get(MARK) == str(log) or session:
                yield each
