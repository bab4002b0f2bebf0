"""Ends what `hpo up` started on this machine, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hpo.errors import HpoError
from hpo.home import Home
from hpo.service.control import stop_running
from hpo.service.processes import stop
from hpo.service.queue import Queue
from hpo.service.state import ServiceFolder
from hpo.service.up import PATIENCE_S
from hpo.track import home_server


def down(home: Home, say: Callable[[str], None] = lambda line: None) -> bool:
    """Stops the studies that run, as `hpo stop` does, and then the processes.

    Those that wait keep their place, and have their turn at the next `hpo up`.

    Args:
        say: is told what is being done.

    Returns:
        whether there was anything to end.

    Raises:
        InputError: another `hpo up` or `hpo down` is at work.
    """
    folder = ServiceFolder.of(home)
    if not folder.root.exists():
        return False
    with folder.alone():
        service, tracking, node = folder.read(), home_server.read(home), folder.read_node()
        ours = service is None or service.ray is not None
        with _closing(folder):
            _stop_studies(home, say)
            ended = not ours
            # Also what an `hpo up` has started that was killed before it could write it down.
            ended |= stop(service.ray if service else None, folder.log("ray"), PATIENCE_S)
            folder.state.unlink(missing_ok=True)
        ended |= stop(tracking.process if tracking else None, folder.log("mlflow"), PATIENCE_S)
        home_server.forget(home)
        ended |= stop(node.ray if node else None, folder.log("node"), PATIENCE_S)
        folder.node.unlink(missing_ok=True)
        return ended


@contextmanager
def _closing(folder: ServiceFolder) -> Iterator[None]:
    """No study is begun meanwhile, nor once the service is down; but if this is cut short, the
    service is as it was."""
    folder.closing.touch()
    try:
        yield
    except BaseException:
        folder.closing.unlink(missing_ok=True)
        raise


def _stop_studies(home: Home, say: Callable[[str], None]) -> None:
    names = Queue(home).running()
    if names:
        say(f"stopping {', '.join(names)}; running trials pause at their next report")
    try:
        stop_running(names, home)
    except HpoError as error:
        say(str(error))
