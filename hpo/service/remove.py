"""Removes a study with all that it left."""

from __future__ import annotations

from hpo import frozen, run_lock
from hpo.errors import HpoError, InputError
from hpo.home import Home
from hpo.service.queue import Place, Queue
from hpo.track import open_tracker


def check(name: str, home: Home) -> None:
    """Refuses to remove a study that is at work.

    Raises:
        InputError: there is no such study, or it waits or runs.
    """
    frozen.settings(home.study(name))
    queue = Queue(home)
    entry = queue.entry(name)
    waits = entry is not None and entry.place is Place.QUEUED
    if waits or queue.driver(name) is not None:
        raise InputError(
            f"study {name!r} {'waits for its turn' if waits else 'is running'}",
            f"hpo stop {name} ends that",
        )


def remove(name: str, home: Home) -> int:
    """Removes a study's runs in the tracker, its checkpoints, its record and its folder; in this
    order, so that what is cut short can be done again.

    Returns:
        how many runs the tracker had of it.

    Raises:
        InputError: there is no such study, it is at work, or its record cannot be reached.
        HpoError: the tracker or the store of the checkpoints cannot be reached.
    """
    check(name, home)
    folder = home.study(name)
    with run_lock.hold(folder):
        tracker = open_tracker(frozen.settings(folder).tracking, home, name)
        try:
            runs = tracker.forget(frozen.study_id(folder))
        except Exception as error:
            why = (str(error).strip().splitlines() or [repr(error)])[0]
            raise HpoError(
                f"the tracker does not remove the runs of study {name!r}: {why}",
                "nothing else was removed; once it answers, run this again",
            ) from error
        frozen.open_checkpoints(folder).clear()
        frozen.forget_records(folder)
        folder.remove()
    return runs
