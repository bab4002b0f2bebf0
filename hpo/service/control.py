"""Stops studies of the service, lets them go on, and removes them."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from contextlib import suppress

import psutil

from hpo.errors import HpoError, InputError
from hpo.home import Home
from hpo.service.jobs import Jobs
from hpo.service.queue import Place, Queue
from hpo.service.submit import running

STOP_TIMEOUT_S = 600.0
"""For trials to reach their next report."""


def stop(name: str, home: Home) -> str:
    """Stops a study: one that waits is not run, one that runs pauses its trials and saves them.

    Returns:
        what was done, for people.

    Raises:
        InputError: it neither waits nor runs.
        HpoError: it did not stop in time.
    """
    queue = Queue(home)
    if queue.withdraw(name):
        return f"study {name} does not wait any more; hpo resume {name} has it wait again"
    entry = queue.entry(name)
    if entry is None or entry.place is not Place.RUNNING:
        raise InputError(f"study {name!r} neither waits nor runs", f"hpo status {name} shows it")
    ran = queue.driver(name) is not None
    stop_running([name], home)
    if not ran:
        return (
            f"study {name} did not run any more: its driver or the service had died;"
            f" hpo resume {name} continues it"
        )
    after = queue.entry(name)
    if after is not None and after.place is Place.ENDED and not after.failure:
        return f"study {name} had just finished"
    return f"study {name} was stopped; hpo resume {name} continues it"


def stop_running(names: Sequence[str], home: Home) -> None:
    """Has drivers end their studies as Ctrl-C ends `hpo run`, and waits for them.

    Raises:
        HpoError: some have not ended in time.
    """
    queue = Queue(home)
    for name in names:
        driver = queue.driver(name)
        if driver is not None:
            with suppress(psutil.NoSuchProcess):
                driver.send_signal(signal.SIGINT)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    left = list(names)
    while left and time.monotonic() < deadline:
        time.sleep(0.1)
        left = [name for name in left if queue.driver(name) is not None]
    for name in names:  # also of one whose driver has died without a word
        if name not in left:
            queue.stopped(name)
    if left:
        raise HpoError(
            f"{', '.join(left)}: still running after {STOP_TIMEOUT_S:.0f} s, since a trial has not"
            " reported",
            f"hpo logs {left[0]} shows what it does",
        )


def refuse_queued(name: str, home: Home) -> None:
    """Keeps a study that waits for the service from being run beside it.

    Raises:
        InputError: it waits.
    """
    entry = Queue(home).entry(name)
    if entry is not None and entry.place is Place.QUEUED:
        raise InputError(
            f"study {name!r} was submitted and waits for its turn",
            f"hpo watch {name} shows it; hpo stop {name} takes it out of the queue",
        )


def resume(name: str, home: Home) -> None:
    """Has a study wait for its turn again; it goes on where it was.

    Raises:
        InputError: it was never submitted, it is running, it has finished, or no service is up.
    """
    queue = Queue(home)
    entry = queue.entry(name)
    if entry is None:
        raise InputError(f"study {name!r} was never submitted", "hpo submit STUDY does that")
    if entry.place is Place.ENDED and not entry.failure:
        raise InputError(
            f"study {name!r} has finished",
            "hpo submit STUDY --trials N, with a larger number, continues it",
        )
    service = running(home)
    queue.put(name, entry.priority)
    Jobs(service, home).hand_in_driver()
