"""Checkpoints in the study's own folder: nothing is copied, and only this machine sees them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hpo.checkpoints.base import Checkpoints, Note, Working
from hpo.home import StudyFolder
from hpo.records import Saved, TrialSpec


@dataclass(frozen=True, slots=True)
class _Folder(Working):
    folder: Path

    def save_if_due(self) -> None:
        """It is where it belongs."""

    def save(self, patience_seconds: float) -> None:
        """It is where it belongs."""


@dataclass(frozen=True, slots=True)
class InPlace(Checkpoints):
    """See the module's docstring."""

    study: StudyFolder

    @property
    def store(self) -> None:
        return None

    @contextmanager
    def open(self, spec: TrialSpec, note: Note) -> Iterator[Working]:
        folder = self.study.checkpoint(spec.number)
        folder.mkdir(parents=True, exist_ok=True)
        yield _Folder(folder)

    def local(self, number: int) -> Path:
        return self.study.checkpoint(number)

    def saved(self, number: int) -> Saved | None:
        return None

    def note(self, number: int, saved: Saved) -> None:
        """The folder itself says it."""

    def drop(self, number: int) -> None:
        shutil.rmtree(self.study.checkpoint(number), ignore_errors=True)

    def clear(self) -> None:
        """They go with the folders of the trials."""

    def close(self) -> None:
        """Nothing is on its way."""
