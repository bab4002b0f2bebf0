"""Which studies wait, which run, and which one is next.

Ray keeps the queue of drivers: each waits for a slot. Every study that is submitted hands in one
driver; the driver that gets a slot takes the study that is next *then*, so that what is urgent
goes first though it came last. A driver that finds nothing waiting ends.
"""

from __future__ import annotations

import time
from enum import StrEnum
from typing import Literal

from hpo.errors import InputError
from hpo.files import write_atomically
from hpo.home import Home, StudyFolder
from hpo.lock import FileLock
from hpo.service.state import ServiceFolder
from hpo.settings import Settings

LOCK_WAIT_S = 10.0


class Place(StrEnum):
    """Where a study is on its way through the service."""

    QUEUED = "queued"
    RUNNING = "running"
    STOPPED = "stopped"
    ENDED = "ended"  # finished, or failed: the record and `failure` say which


class Entry(Settings):
    """A study that was submitted.

    Args:
        priority: higher goes first.
        submitted: Unix time in seconds; of equal priority the oldest goes first.
        job: of the driver that runs it or ran it last, in Ray's job table.
        failure: why it failed; empty if it did not.
    """

    schema_version: Literal[1] = 1
    place: Place
    priority: int = 0
    submitted: float
    job: str = ""
    failure: str = ""


class Queue:
    """The submitted studies of a home. Every change is made under one lock, by whoever makes it."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def entry(self, name: str) -> Entry | None:
        """`None` for a study that was never submitted."""
        path = self._home.study(name).queue
        try:
            return Entry.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            why = str(error).splitlines()[0]
            raise InputError(f"{path} is damaged: {why}", "submit the study again") from None

    def put(self, name: str, priority: int) -> bool:
        """Has a study wait; one that waits already gets the new priority.

        Returns:
            whether it needs a driver: it had none.

        Raises:
            InputError: it is running.
        """
        with self._locked():
            before = self.entry(name)
            if before is not None and before.place is Place.RUNNING:
                raise InputError(
                    f"study {name!r} is running",
                    f"hpo watch {name} shows it, hpo stop {name} ends it",
                )
            waiting = before is not None and before.place is Place.QUEUED
            submitted = before.submitted if before is not None and waiting else time.time()
            self._write(name, Entry(place=Place.QUEUED, priority=priority, submitted=submitted))
            return not waiting

    def take(self, job: str) -> StudyFolder | None:
        """The study that is next, which now runs; `None` if none waits."""
        with self._locked():
            waiting = [
                (-entry.priority, entry.submitted, folder)
                for folder in self._home.studies()
                if (entry := self.entry(folder.name)) is not None and entry.place is Place.QUEUED
            ]
            if not waiting:
                return None
            _, _, folder = min(waiting, key=lambda found: found[:2])
            self._change(folder.name, place=Place.RUNNING, job=job)
            return folder

    def leave(self, name: str, place: Place, failure: str = "") -> None:
        """A study that ran has ended or was stopped, or one that waited is not to run."""
        with self._locked():
            self._change(name, place=place, failure=failure)

    def interrupted(self) -> list[str]:
        """Puts back what ran when the service went down; the names of all that wait now."""
        with self._locked():
            names = []
            for folder in self._home.studies():
                entry = self.entry(folder.name)
                if entry is not None and entry.place in (Place.QUEUED, Place.RUNNING):
                    self._change(folder.name, place=Place.QUEUED)
                    names.append(folder.name)
            return names

    def _change(self, name: str, **changes: object) -> None:
        entry = self.entry(name)
        assert entry is not None, "it was submitted"
        self._write(name, entry.model_copy(update=changes))

    def _write(self, name: str, entry: Entry) -> None:
        write_atomically(self._home.study(name).queue, entry.model_dump_json(indent=1))

    def _locked(self) -> FileLock:
        folder = ServiceFolder.of(self._home)
        folder.make()
        return FileLock(folder.root / "queue.lock", LOCK_WAIT_S)
