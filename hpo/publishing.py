"""A study and its tracker: while it runs, and afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hpo import datasets, frozen
from hpo.errors import InputError
from hpo.home import Home, StudyFolder
from hpo.lock import FileLock
from hpo.records import StudyCard, TrialRecord
from hpo.report import report
from hpo.result import StudyResult, load_study
from hpo.studyfile import Study
from hpo.track import Ending, Publisher, Tracker, open_tracker

FLUSH_S = 30.0
"""How long the end of a run waits for a tracker that answers slowly; what is left comes later."""

OUTAGE_FLUSH_S = 1.0
"""The same for a tracker that has been failing."""


def sync(name: str, home: str | Path | Home | None = None) -> tuple[int, str | None]:
    """Publishes what the tracker has missed of a study that is not being run.

    Returns:
        how many trials are shown now, and why some are not, if so.

    Raises:
        InputError: there is no such study, or it is being run and so published anyway.
    """
    home = Home.at(home)
    folder = home.study(name)
    study = frozen.thaw(folder)
    if study.file.tracking.uri == "none":
        raise InputError(f"study {name!r} is tracked nowhere", "set tracking.uri in its study file")
    with running(folder):
        result = load_study(name, home)
        tracker = open_tracker(study.file.tracking, home, name)
        card = frozen.card(study, frozen.study_id(folder))
        card = replace(card, data=datasets.read(folder))
        publisher = publisher_of(study, card, folder, tracker, _Still(result))
        publisher.start()
        publisher.close(FLUSH_S, Ending.DONE if result.done else Ending.STOPPED)
    return len(result.trials), publisher.trouble


@dataclass(frozen=True)
class _Still:
    """A study that nobody works on, as a publisher looks at it."""

    result: StudyResult

    def changes(self, since: int) -> tuple[int, list[TrialRecord]]:
        return 1, [] if since else self.result.trials

    def progress(self) -> StudyResult:
        return self.result


def publisher_of(
    study: Study, card: StudyCard, folder: StudyFolder, tracker: Tracker, source: Any
) -> Publisher:
    return Publisher(
        tracker,
        card,
        source.changes,
        folder,
        page=lambda trials: report.page(study, folder, trials, source.progress().spent),
        derived=lambda trial: study.trainable.derived(trial.config),
    )


@contextmanager
def running(folder: StudyFolder) -> Iterator[None]:
    """One process at a time runs a study."""
    # A short wait, since whoever asks whether a study is running takes the lock for a moment.
    lock = FileLock(folder.root / "run.lock", wait_seconds=1.0)
    try:
        yield
    finally:
        lock.release()
