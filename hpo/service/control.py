"""Stops studies of the service, and lets them go on."""

from __future__ import annotations

import time

from hpo.errors import HpoError, InputError
from hpo.home import Home
from hpo.service.jobs import Jobs
from hpo.service.queue import Place, Queue
from hpo.service.state import Service

STOP_TIMEOUT_S = 600.0
"""For trials to reach their next report."""


def stop(name: str, home: Home, service: Service, jobs: Jobs) -> str:
    """Stops a study: one that waits is not run, one that runs pauses its trials and saves them.

    Returns:
        what was done, for people.

    Raises:
        InputError: it neither waits nor runs.
        HpoError: it did not stop in time.
    """
    queue = Queue(home)
    entry = queue.entry(name)
    if entry is None or entry.place not in (Place.QUEUED, Place.RUNNING):
        raise InputError(f"study {name!r} neither waits nor runs", f"hpo status {name} shows it")
    if entry.place is Place.QUEUED:
        queue.leave(name, Place.STOPPED)
        return f"study {name} does not wait any more"
    jobs.stop(entry.job)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while time.monotonic() < deadline:
        entry = queue.entry(name)
        if entry is None or entry.place is not Place.RUNNING:
            return f"study {name} was stopped; hpo resume {name} continues it"
        if not jobs.is_alive(entry.job):
            queue.leave(name, Place.STOPPED)
        time.sleep(0.2)
    raise HpoError(
        f"study {name!r} has not stopped after {STOP_TIMEOUT_S:.0f} s: a trial has not reported",
        f"hpo logs {name} shows what it does",
    )


def resume(name: str, home: Home, jobs: Jobs) -> None:
    """Has a study wait for its turn again; it goes on where it was.

    Raises:
        InputError: it was never submitted, or it is running.
    """
    queue = Queue(home)
    entry = queue.entry(name)
    if entry is None:
        raise InputError(f"study {name!r} was never submitted", "hpo submit STUDY does that")
    if queue.put(name, entry.priority):
        jobs.hand_in_driver(home)


def lost(home: Home, jobs: Jobs) -> list[str]:
    """Studies whose driver died without a word, which are marked as stopped; their names."""
    queue = Queue(home)
    names = []
    for folder in home.studies():
        entry = queue.entry(folder.name)
        if entry is None or entry.place is not Place.RUNNING or jobs.is_alive(entry.job):
            continue
        queue.leave(folder.name, Place.ENDED, "its driver died; hpo resume continues it")
        names.append(folder.name)
    return names
