"""One process at a time runs a study."""

from __future__ import annotations

from hpo.home import StudyFolder
from hpo.lock import FileLock, is_held

_FILE = "run.lock"

# A short wait, since whoever asks whether a study is running takes the lock for a moment.
_WAIT_S = 1.0


def hold(folder: StudyFolder) -> FileLock:
    """Use as a context manager.

    Raises:
        StudyConflict: another process runs the study.
    """
    return FileLock(folder.root / _FILE, wait_seconds=_WAIT_S)


def is_running(folder: StudyFolder) -> bool:
    """Whether some process runs the study now."""
    return is_held(folder.root / _FILE)
