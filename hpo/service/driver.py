"""Runs the study that is next: what a job of the service does.

python -m hpo.service.driver HOME JOB
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from pathlib import Path

from hpo import frozen, snapshot
from hpo.errors import HpoError
from hpo.execute import ray_tune
from hpo.home import Home, StudyFolder
from hpo.progress import Progress
from hpo.service.queue import Place, Queue
from hpo.study import run

SNAPSHOT_S = 1.0
"""Between two looks that others get at a running study."""


def main(home: Home, job: str) -> int:
    """Takes one study and runs it; its place in the queue says how it went."""
    queue = Queue(home)
    folder = queue.take(job)
    if folder is None:
        print("no study waits")
        return 0
    try:
        done = _run(home, folder)
    except KeyboardInterrupt:
        queue.leave(folder.name, Place.STOPPED)
        return 0
    except HpoError as error:
        queue.leave(folder.name, Place.ENDED, str(error))
        print(error)
        return error.exit_code
    except BaseException as error:
        queue.leave(folder.name, Place.ENDED, f"{type(error).__name__}: {error}")
        raise
    queue.leave(folder.name, Place.ENDED if done else Place.STOPPED)
    return 0


def _run(home: Home, folder: StudyFolder) -> bool:
    due = 0.0

    def seen(progress: Progress, trouble: str | None) -> None:
        nonlocal due
        if time.monotonic() >= due or progress.done:
            due = time.monotonic() + SNAPSHOT_S
            with suppress(OSError):  # a full disk is told by who must write
                snapshot.write(folder, progress, trouble)

    with ray_tune.joined(folder.code):
        return run(frozen.thaw(folder), home=home, observer=seen).done


if __name__ == "__main__":
    sys.exit(main(Home.at(Path(sys.argv[1])), sys.argv[2]))
