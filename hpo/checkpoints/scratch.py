"""Folders of one process that do not stay behind when it is killed."""

from __future__ import annotations

import getpass
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hpo.lock import FileLock, is_held

_LOCK = "held"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """An empty folder, removed in the end; those that killed processes have left go first."""
    root = Path(tempfile.gettempdir()) / f"hpo-scratch-{getpass.getuser()}"
    root.mkdir(mode=0o700, exist_ok=True)
    if root.stat().st_uid != os.getuid():  # whoever made it first could read and change what is in
        raise PermissionError(f"{root} belongs to another user; set TMPDIR to a folder of your own")
    with FileLock(root / "making", wait_seconds=60.0):
        for left in root.iterdir():
            if left.is_dir() and not is_held(left / _LOCK):
                shutil.rmtree(left, ignore_errors=True)
        own = Path(tempfile.mkdtemp(dir=root))
        lock = FileLock(own / _LOCK)
    try:
        folder = own / "checkpoint"
        folder.mkdir()
        yield folder
    finally:
        lock.release()
        shutil.rmtree(own, ignore_errors=True)
