"""What whoever runs a study saw last, for those who look on from another process."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace

from pydantic import TypeAdapter

from hpo.files import write_atomically
from hpo.home import StudyFolder
from hpo.progress import Progress

_PROGRESS = TypeAdapter(Progress)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The progress of a study at some moment.

    Args:
        progress: without `failure`, which is for the one who runs the study.
        trouble: what is wrong with the tracker, if anything.
        taken: Unix time in seconds.
    """

    progress: Progress
    trouble: str | None
    taken: float


def write(folder: StudyFolder, progress: Progress, trouble: str | None) -> None:
    """Leaves a snapshot; it replaces the one before."""
    shown = _PROGRESS.dump_python(replace(progress, failure=None))
    facts = {"taken": time.time(), "trouble": trouble, "progress": shown}
    write_atomically(folder.snapshot, json.dumps(facts))


def read(folder: StudyFolder) -> Snapshot | None:
    """The last snapshot; `None` if there is none, or none that can be read."""
    try:
        facts = json.loads(folder.snapshot.read_text(encoding="utf-8"))
        progress = _PROGRESS.validate_python(facts["progress"])
        return Snapshot(progress, facts["trouble"], facts["taken"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
