"""A study and its tracker: while it runs, and afterwards."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Protocol

from hpo import datasets, frozen, run_lock
from hpo.budget import Spending
from hpo.errors import InputError
from hpo.final.plan import read_plan
from hpo.home import Home, StudyFolder
from hpo.progress import Progress, at_rest
from hpo.records import STAGES, StageName, StudyCard, TrialRecord
from hpo.report import report
from hpo.result import load_study
from hpo.studyfile import Study
from hpo.track import Ending, Publisher, StudyPage, open_tracker

FLUSH_S = 30.0
"""How long the end of a run waits for a tracker that answers slowly; what is left comes later."""

OUTAGE_FLUSH_S = 1.0
"""The same for a tracker that has been failing."""


class Followed(Protocol):
    """A stage as it is followed: a coordinator, or what stands for one."""

    def changes(self, since: int) -> tuple[int, list[TrialRecord]]: ...

    def progress(self) -> Progress: ...


class Shown:
    """A study in its tracker while it is worked on. Use as a context manager.

    Each stage is published from its own record, by a thread and a tracker of its own. At the end
    the study's run is marked as `ending` says, which is a failure until something else is set.
    """

    def __init__(self, study: Study, card: StudyCard, folder: StudyFolder, home: Home) -> None:
        self.ending = Ending.FAILED
        self._study = study
        self._card = card
        self._folder = folder
        self._home = home
        self._tracker = open_tracker(study.file.tracking, home, study.name)
        self._feeds: dict[StageName, _Feed] = {}
        self._publishers: dict[StageName, Publisher] = {}

    @property
    def trouble(self) -> str | None:
        """Why the tracker is behind; `None` when all is published."""
        return next((p.trouble for p in self._publishers.values() if p.trouble), None)

    @property
    def url(self) -> str | None:
        """The study's page; `None` if it has no address, or not yet."""
        return self._tracker.url()

    def follow(self, stage: StageName, coordinator: Followed) -> None:
        """Shows a stage from now on, as this coordinator has it."""
        if stage in self._feeds:
            self._feeds[stage].turn_to(coordinator)
            return
        feed = self._feeds[stage] = _Feed(coordinator)
        publisher = self._search(feed) if stage == "search" else self._final(feed)
        self._publishers[stage] = publisher
        publisher.start()

    def leave(self, stage: StageName) -> None:
        """Asks the stage's coordinator once more, and then never again: it is about to end."""
        self._feeds[stage].rest()

    def refresh(self) -> None:
        """Has the study's page written anew."""
        if "search" in self._publishers:
            self._publishers["search"].refresh()

    def _search(self, feed: _Feed) -> Publisher:
        def page(trials: Sequence[TrialRecord]) -> StudyPage:
            stages = {name: each.progress() for name, each in dict(self._feeds).items()}
            spent = sum((each.spent for each in stages.values()), Spending())
            return report.page(self._study, self._folder, trials, spent, stages.get("final"))

        return Publisher(
            self._tracker,
            self._card,
            feed.changes,
            self._folder,
            page=page,
            derived=lambda trial: self._study.trainable.derived(trial.config),
        )

    def _final(self, feed: _Feed) -> Publisher:
        settings = self._study.file.tracking
        return Publisher(
            open_tracker(settings, self._home, self._study.name),
            replace(self._card, stage="final"),
            feed.changes,
            self._folder.final,
            derived=lambda trial: self._study.trainable.derived(trial.config),
            labels=self._labels,
        )

    def _labels(self, trial: TrialRecord) -> dict[str, str]:
        run = read_plan(self._folder.final).runs[trial.number]
        labels = {
            "repeat": str(run.repeat),
            "candidate": "baseline" if run.trial is None else f"{run.trial:06d}",
        }
        return labels | ({} if run.refit is None else {"refit": str(run.refit)})

    def __enter__(self) -> Shown:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        interrupted = kind is not None and issubclass(kind, KeyboardInterrupt)
        ending = Ending.STOPPED if interrupted else self.ending
        # The search first: its tracker makes the run that the final stage's waits for.
        for publisher in self._publishers.values():
            first = next(iter(self._publishers.values()))
            flush_s = OUTAGE_FLUSH_S if first.trouble else FLUSH_S
            publisher.close(0.0 if interrupted else flush_s, ending)


class _Feed:
    """What changes in a stage, whichever coordinator hands it out now.

    Nobody may ask a coordinator whose Ray cluster is gone: Ray ends the process that does.
    """

    def __init__(self, coordinator: Followed) -> None:
        self._now: Followed = coordinator
        self._asked: Followed = coordinator
        self._how_far = coordinator.progress()
        self._asking = threading.RLock()

    def turn_to(self, coordinator: Followed) -> None:
        with self._asking:
            self._now = coordinator

    def rest(self) -> None:
        with self._asking:
            still = _Still([], self._how_far)
            with suppress(Exception):  # it may have died; what was heard of before is published
                version, trials = self._now.changes(0)
                still = _Still(trials, self._now.progress(), version)
            if self._asked is self._now:
                self._asked = still  # which goes on counting
            self._now = still

    def changes(self, since: int) -> tuple[int, list[TrialRecord]]:
        with self._asking:
            coordinator = self._now
            if coordinator is not self._asked:  # which counts anew
                self._asked, since = coordinator, 0
            return coordinator.changes(since)

    def progress(self) -> Progress:
        with self._asking:
            return self._now.progress()


@dataclass(frozen=True)
class _Still:
    """A stage that nobody works on.

    Args:
        version: the number for whoever has seen all of it; see `Coordinator.changes`.
    """

    trials: list[TrialRecord]
    how_far: Progress
    version: int = 1

    def changes(self, since: int) -> tuple[int, list[TrialRecord]]:
        return self.version, [] if since >= self.version else self.trials

    def progress(self) -> Progress:
        return self.how_far


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
    with run_lock.hold(folder):
        card = frozen.card(study, frozen.study_id(folder))
        card = replace(card, data=datasets.read(folder))
        shown = Shown(study, card, folder, home)
        shown.ending = Ending.DONE if load_study(name, home).done else Ending.STOPPED
        totals = {"search": study.file.search.trials, "final": len(read_plan(folder.final).runs)}
        published = 0
        with shown:
            for stage in STAGES:
                with frozen.reading(folder, stage) as record:
                    if record is not None:
                        trials = record.trials()
                        how_far = at_rest(stage, totals[stage], trials, record.spent)
                        shown.follow(stage, _Still(trials, how_far))
                        published += len(trials)
    return published, shown.trouble
