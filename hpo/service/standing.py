"""How a study stands: in the queue, running, or at its end."""

from __future__ import annotations

from hpo import snapshot
from hpo.home import Home
from hpo.service.queue import Place, Queue
from hpo.service.state import ServiceFolder
from hpo.standing import Standing, StudyState


def standing(name: str, home: Home) -> Standing | None:
    """`None` for a study that was never submitted.

    Raises:
        InputError: its entry in the queue is damaged.
    """
    queue = Queue(home)
    entry = queue.entry(name)
    if entry is None:
        return None
    if entry.place is Place.QUEUED:
        waiting = queue.waiting()
        turn = waiting.index(name) + 1 if name in waiting else 1
        why = f"place {turn} of {max(turn, len(waiting))}"
        if not _is_up(home):
            why += "; the service is down, its turn comes after hpo up"
        return Standing(StudyState.QUEUED, why, entry.page)
    if entry.place is Place.STOPPED:
        return Standing(StudyState.STOPPED, f"hpo resume {name} continues it", entry.page)
    if entry.place is Place.ENDED:
        state = StudyState.FAILED if entry.failure else StudyState.FINISHED
        return Standing(state, entry.failure, entry.page)
    if not _is_up(home):
        return Standing(
            StudyState.INTERRUPTED, "the service went down; hpo up goes on with it", entry.page
        )
    if queue.driver(name) is not None:
        return Standing(StudyState.RUNNING, "", entry.page, snapshot.read(home.study(name)))
    why = f"its driver died; hpo logs {name} may say why, hpo resume {name} continues it"
    return Standing(StudyState.FAILED, why, entry.page)


def _is_up(home: Home) -> bool:
    service = ServiceFolder.of(home).read()
    return service is not None and service.is_up
