"""Runs the study that is next: what a job of the service does.

python -m hpo.service.driver HOME JOB
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from contextlib import suppress
from functools import partial
from pathlib import Path

from hpo import frozen, snapshot
from hpo.errors import HpoError, StudyConflict
from hpo.execute import ray_tune
from hpo.home import Home, StudyFolder
from hpo.progress import Progress
from hpo.result import StudyResult
from hpo.service.queue import Place, Queue
from hpo.service.state import Service, ServiceFolder
from hpo.study import run

SNAPSHOT_S = 1.0
"""Between two looks that others get at a running study."""


def main(home: Home, job: str) -> int:
    """Takes one study and runs it; its place in the queue says how it went.

    A study whose service is gone keeps its place: `hpo up` goes on with it.
    """
    queue, service = Queue(home), ServiceFolder.of(home).read()
    folder = queue.take(job) if service is not None else None
    if folder is None or service is None:
        print("no study waits")
        return 0
    _say_into(folder.log)
    page = None
    try:
        result = _run(home, folder, service)
        place, failure, code = (Place.ENDED if result.done else Place.STOPPED), "", 0
        page = result.url
    except KeyboardInterrupt:
        place, failure, code = Place.STOPPED, "", 0
    except StudyConflict as error:  # `hpo run` is at it
        place, failure, code = Place.STOPPED, "", 0
        print(error)
    except HpoError as error:
        place, failure, code = Place.ENDED, str(error), error.exit_code
        print(error)
    except BaseException as error:
        place, failure, code = Place.ENDED, f"{type(error).__name__}: {error}", 1
        traceback.print_exc()
    if service.is_up:
        queue.leave(folder.name, place, failure, page)
    return code


def _run(home: Home, folder: StudyFolder, service: Service) -> StudyResult:
    due = 0.0

    def seen(progress: Progress, trouble: str | None) -> None:
        nonlocal due
        if time.monotonic() >= due or progress.done:
            due = time.monotonic() + SNAPSHOT_S
            with suppress(OSError):  # a full disk is told by who must write
                snapshot.write(folder, progress, trouble)

    folder.snapshot.unlink(missing_ok=True)  # of the run before
    share = partial(Queue(home).share, folder.name)
    study = frozen.thaw(folder)
    cluster = partial(ray_tune.joined, service.address, study.folder, share)
    return run(study, home=home, observer=seen, cluster=cluster)


def _say_into(log: Path) -> None:
    """What this process and its libraries say is kept with the study."""
    sys.stdout.flush()
    with log.open("ab", buffering=0) as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)


if __name__ == "__main__":
    sys.exit(main(Home.at(Path(sys.argv[1])), sys.argv[2]))
