"""Checkpoints in a store that every node reaches.

What a trial saves goes to a new prefix each time; then the coordinator, which knows who holds the
trial, notes that prefix. Until then the one before counts, so nobody ever reads half of a save, and
a worker whose trial was given to another changes nothing.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from hpo.checkpoints import transfer
from hpo.checkpoints.base import Checkpoints, Note, StoreLost, Working
from hpo.checkpoints.remover import Remover
from hpo.checkpoints.scratch import scratch_folder
from hpo.checkpoints.store import Store
from hpo.errors import InputError
from hpo.files import write_atomically
from hpo.home import StudyFolder
from hpo.records import Saved, TrialSpec

log = logging.getLogger(__name__)

SAVE_S = 10.0
"""At least between two saves of a running trial."""

SAVE_SHARE = 0.1
"""At most the share of a trial's time that saving takes."""

READ_PATIENCE_S = 600.0
"""How long a store may be away when a trial cannot begin, or a result cannot be read, without."""

CLEAR_PATIENCE_S = 10.0
"""The same when a study is to be made anew and somebody waits for it."""


class _Uploading(Working):
    """A scratch folder that is saved to a new prefix each time that it has changed."""

    def __init__(self, folder: Path, root: str, before: Saved | None, note: Note) -> None:
        self.folder = folder
        self._root = root
        self._before = before
        self._note = note
        self._content = transfer.content(folder)
        self._due = time.monotonic() + SAVE_S

    def save_if_due(self) -> None:
        if time.monotonic() < self._due:
            return
        try:
            self.save(patience_seconds=0.0)
        except StoreLost as lost:
            log.warning("%s", lost.message)
            self._due = time.monotonic() + SAVE_S

    def save(self, patience_seconds: float) -> None:
        content = transfer.content(self.folder)
        if content == self._content:
            return
        began = time.monotonic()
        saved = Saved(uuid.uuid4().hex, tuple(sorted(content)))
        place = f"{self._root}/{saved.prefix}"
        transfer.persistently(
            lambda: transfer.upload(self.folder, saved.files, place),
            patience_seconds,
            f"the checkpoint could not be saved to {place}",
        )
        counts = self._note(saved)
        void = self._before if counts else saved
        if counts:
            self._before, self._content = saved, content
        if void is not None:
            with suppress(Exception):  # it goes with the trial's whole folder at the latest
                transfer.remove(f"{self._root}/{void.prefix}")
        took = time.monotonic() - began
        self._due = time.monotonic() + max(SAVE_S, took / SAVE_SHARE)


class Stored(Checkpoints):
    """See the module's docstring.

    Args:
        root: a URI or a folder, below which all is this stage's.
        study: the stage's folder; what its trials have saved last is noted there.
    """

    def __init__(self, root: str, study: StudyFolder) -> None:
        self.root = root
        self.study = study
        self._remover = Remover()

    def __reduce__(self) -> tuple[type[Stored], tuple[str, StudyFolder]]:
        return Stored, (self.root, self.study)

    @property
    def store(self) -> Store:
        return Store(self.root)

    @contextmanager
    def open(self, spec: TrialSpec, note: Note) -> Iterator[Working]:
        with scratch_folder() as folder:
            root = self._trial(spec.number)
            if spec.saved is not None and not self._download(spec.number, spec.saved, folder):
                log.warning("trial %d begins anew: its checkpoint is gone", spec.number)
                shutil.rmtree(folder)
                folder.mkdir()
            yield _Uploading(folder, root, spec.saved, note)

    def local(self, number: int) -> Path:
        folder, saved = self.study.checkpoint(number), self.saved(number)
        if saved is None:
            folder.mkdir(parents=True, exist_ok=True)
            return folder
        here = folder.with_name(f"{folder.name}-{saved.prefix}")
        if not here.exists():
            with scratch_folder() as scratch:
                if not self._download(number, saved, scratch):
                    raise StoreLost(
                        f"the checkpoint of trial {number} is gone from {self._trial(number)}",
                        "put it back from a copy of the store",
                    )
                # Moved into place whole: what has this name is not looked at again.
                fresh = here.with_name(f".{here.name}-{uuid.uuid4().hex}")
                shutil.copytree(scratch, fresh)
                fresh.rename(here)
        return here

    def saved(self, number: int) -> Saved | None:
        path = self._noted(number)
        try:
            entry = json.loads(path.read_bytes())
            saved = Saved(str(entry["prefix"]), tuple(map(str, entry["files"])))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise _damaged(path, str(error)) from None
        if not all(map(transfer.stays_inside, (saved.prefix, *saved.files))):
            raise _damaged(path, "a path in it leads out of the checkpoint")
        return saved

    def note(self, number: int, saved: Saved) -> None:
        write_atomically(self._noted(number), json.dumps(asdict(saved)))

    def drop(self, number: int) -> None:
        noted = self._noted(number)
        if noted.exists():
            # Noted until it is removed: what the store did not do is asked of it again next time.
            self._remover.remove(self._trial(number), lambda: noted.unlink(missing_ok=True))
        for copy in self.study.trial(number).glob("checkpoint-*"):
            shutil.rmtree(copy, ignore_errors=True)

    def clear(self) -> None:
        transfer.persistently(
            lambda: transfer.remove(self.root),
            CLEAR_PATIENCE_S,
            f"the checkpoints in {self.root} cannot be removed",
        )

    def close(self) -> None:
        self._remover.close()

    def _download(self, number: int, saved: Saved, folder: Path) -> bool:
        """Whether all of it is still there."""
        place = f"{self._trial(number)}/{saved.prefix}"

        def download() -> bool:
            try:
                transfer.download(place, saved.files, folder)
            except FileNotFoundError:  # no store that is away says that
                return False
            return True

        return transfer.persistently(
            download,
            READ_PATIENCE_S,
            f"the checkpoint of trial {number} could not be read from {place}",
        )

    def _trial(self, number: int) -> str:
        return f"{self.root}/{number:06d}"

    def _noted(self, number: int) -> Path:
        return self.study.trial(number) / "checkpoint.json"


def _damaged(path: Path, why: str) -> InputError:
    return InputError(f"{path} is damaged: {why}", "put it back from a copy of the study's folder")
