"""Which studies wait, which run, and which one is next.

Ray keeps the queue of drivers: each waits for a slot. Every study that is submitted hands in one
driver; the driver that gets a slot takes the study that is next *then*, so that what is urgent
goes first though it came last. A driver that finds nothing waiting ends, so that there may be more
drivers than studies, but never fewer.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Literal

import psutil

from hpo.errors import InputError
from hpo.files import read_bounded, write_atomically
from hpo.home import Home, StudyFolder
from hpo.lock import FileLock
from hpo.process import Process
from hpo.service.state import ServiceFolder
from hpo.settings import Settings

log = logging.getLogger(__name__)

LOCK_WAIT_S = 30.0
"""Whoever submits a large folder holds the queue while it is copied."""

MAX_BYTES = 1 << 20
"""Of an entry, which is a few hundred, and the text of a failure."""


class Place(StrEnum):
    """Where a study is on its way through the service."""

    QUEUED = "queued"
    RUNNING = "running"
    STOPPED = "stopped"
    ENDED = "ended"  # finished, or failed: `failure` says which


class Entry(Settings):
    """A study that was submitted.

    Args:
        priority: higher goes first.
        submitted: Unix time in seconds; of equal priority the oldest goes first.
        page: its address in the tracker; empty if it has none.
        job: of the driver that runs it or ran it last, in Ray's job table.
        driver: the process of that driver, on the machine of the head.
        failure: why it failed; empty if it did not.
    """

    schema_version: Literal[1] = 1
    place: Place
    priority: int = 0
    submitted: float
    page: str = ""
    job: str = ""
    driver: Process | None = None
    failure: str = ""

    @property
    def runner(self) -> psutil.Process | None:
        """The process that runs it; `None` if none does."""
        if self.place is not Place.RUNNING or self.driver is None:
            return None
        return self.driver.find()


class Queue:
    """The submitted studies of a home. Every change is made under one lock, by whoever makes it."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._folder = ServiceFolder.of(home)
        self._told: set[str] = set()

    def entry(self, name: str) -> Entry | None:
        """`None` for a study that was never submitted.

        Raises:
            InputError: it is damaged.
        """
        path = self._home.study(name).queue
        try:
            return Entry.model_validate_json(read_bounded(path, MAX_BYTES))
        except FileNotFoundError:
            return None
        except ValueError as error:
            why = str(error).splitlines()[0]
            raise InputError(
                f"{path} is damaged: {why}", "remove it, and submit the study again"
            ) from None

    def driver(self, name: str) -> psutil.Process | None:
        """The process that runs a study; `None` if none does."""
        entry = self.entry(name)
        return None if entry is None else entry.runner

    def waiting(self) -> list[str]:
        """The studies that wait, the next one first."""
        entries = self._entries(Place.QUEUED)
        return [name for _, _, name in sorted((-e.priority, e.submitted, n) for n, e in entries)]

    def running(self) -> list[str]:
        """The studies that run, those that were submitted first at the front."""
        found = sorted((e.submitted, name) for name, e in self._entries(Place.RUNNING) if e.runner)
        return [name for _, name in found]

    def put(
        self,
        name: str,
        priority: int,
        page: str | None = None,
        prepare: Callable[[], bool] = lambda: True,
    ) -> bool:
        """Has a study wait; one that waits already gets the new priority.

        Args:
            page: by default, that of before.
            prepare: what is to be done before it may be taken, while it cannot be running; whether
                there is then anything to wait for.

        Returns:
            what `prepare` did.

        Raises:
            InputError: it is running.
        """
        with self._locked():
            if self.driver(name) is not None:
                raise InputError(
                    f"study {name!r} is running",
                    f"hpo watch {name} shows it, hpo stop {name} ends it",
                )
            before = self.entry(name)
            if not prepare():
                return False
            waits = before is not None and before.place is Place.QUEUED
            entry = Entry(
                place=Place.QUEUED,
                priority=priority,
                submitted=before.submitted if before is not None and waits else time.time(),
                page=(before.page if before is not None else "") if page is None else page,
            )
            self._write(name, entry)
            return True

    def take(self, job: str) -> StudyFolder | None:
        """The study that is next, which this process now runs; `None` if none is to be begun."""
        with self._locked():
            waiting = [] if self._folder.closing.exists() else self.waiting()
            if not waiting:
                return None
            self._change(waiting[0], place=Place.RUNNING, job=job, driver=Process.of(os.getpid()))
            return self._home.study(waiting[0])

    def leave(self, name: str, place: Place, failure: str = "", page: str | None = None) -> None:
        """A study that this process ran has ended or was stopped.

        Args:
            page: by default, that of before.
        """
        with self._locked():
            changes = {"place": place, "failure": failure}
            self._change(name, **changes | ({"page": page} if page else {}))

    def withdraw(self, name: str) -> bool:
        """Has a study not wait any more.

        Returns:
            whether it did.
        """
        with self._locked():
            entry = self.entry(name)
            if entry is None or entry.place is not Place.QUEUED:
                return False
            self._change(name, place=Place.STOPPED)
            return True

    def stopped(self, name: str) -> None:
        """Notes that a study does not run any more, where its driver could not."""
        with self._locked():
            entry = self.entry(name)
            if entry is not None and entry.place is Place.RUNNING:
                self._change(name, place=Place.STOPPED)

    def interrupted(self) -> list[str]:
        """Puts back what ran when the service went down; the names of all that wait now."""
        with self._locked():
            for name, entry in self._entries(Place.RUNNING):
                if entry.runner is None:
                    self._change(name, place=Place.QUEUED)
            return self.waiting()

    def share(self, name: str, fit: int) -> int:
        """How many workers a running study may have: those that run share alike.

        Args:
            fit: workers of this study that the cluster has room for.

        Returns:
            at least 1; the first studies get what is left over of an uneven division.
        """
        running = self.running()
        if name not in running:
            return fit
        each, over = divmod(fit, len(running))
        return max(1, each + (running.index(name) < over))

    def _entries(self, place: Place) -> list[tuple[str, Entry]]:
        """Without those that cannot be read: one damaged file is not to hold up all the others."""
        found = []
        for folder in self._home.studies():
            try:
                entry = self.entry(folder.name)
            except (InputError, OSError) as error:
                if folder.name not in self._told:
                    self._told.add(folder.name)
                    log.warning("study %s is left out of the queue: %s", folder.name, error)
                continue
            if entry is not None and entry.place is place:
                found.append((folder.name, entry))
        return found

    def _change(self, name: str, **changes: object) -> None:
        entry = self.entry(name)
        assert entry is not None, "it was submitted"
        self._write(name, entry.model_copy(update=changes))

    def _write(self, name: str, entry: Entry) -> None:
        write_atomically(self._home.study(name).queue, entry.model_dump_json(indent=1))

    def _locked(self) -> FileLock:
        self._folder.make()
        return FileLock(self._folder.root / "queue.lock", LOCK_WAIT_S)
