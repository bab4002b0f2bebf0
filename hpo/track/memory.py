"""A tracker that keeps what it is shown, for tests and notebooks."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from hpo.bundle import read_manifest
from hpo.records import StudyCard
from hpo.track import contents
from hpo.track.base import Ending, StudyPage, Tracker, TrialPage


@dataclass
class MemoryRun:
    """One run, in MLflow's terms.

    Args:
        history: every point of each metric.
        step: the last step reported.
        ended: the final state, once there is one.
    """

    tags: dict[str, str]
    params: dict[str, str] = field(default_factory=dict)
    history: dict[str, set[contents.Point]] = field(default_factory=lambda: defaultdict(set))
    artifacts: dict[str, str] = field(default_factory=dict)
    step: int = 0
    ended: str | None = None

    def log(self, points: list[contents.Point]) -> None:
        for point in points:
            self.history[point.name].add(point)


class MemoryTracker(Tracker):
    """Keeps a study's run in `parent` and its trials' runs in `children`, by number.

    Args:
        search: for a final stage, the tracker of its study's search.
    """

    def __init__(self, search: MemoryTracker | None = None) -> None:
        self.parent: MemoryRun | None = None
        self.children: dict[int, MemoryRun] = {}
        self._search = search

    def start(self, card: StudyCard) -> frozenset[int]:
        self._card = card
        if self._search is not None:
            self.parent = self._search.parent
            if self.parent is None or self.parent.tags[contents.STUDY_ID] != card.id:
                raise LookupError("the study's own run is not there yet")
        else:
            if self.parent is None or self.parent.tags[contents.STUDY_ID] != card.id:
                self.wipe()
                self.parent = MemoryRun(contents.study_tags(card))
            self.parent.ended = None
            self.parent.artifacts["study.yaml"] = card.file_text
        return frozenset(number for number, run in self.children.items() if run.ended is not None)

    def wipe(self) -> None:
        """Forgets everything, as a store does that was deleted."""
        self.parent = None
        self.children = {}

    def present(self) -> bool:
        return self.parent is not None

    def open(self, page: TrialPage) -> None:
        tags = contents.trial_tags(self._card, page)
        self.children.setdefault(page.trial.number, MemoryRun(tags))

    def publish(self, page: TrialPage) -> None:
        self.open(page)
        trial = page.trial
        run = self.children[trial.number]
        if run.ended is not None:
            return
        run.params = contents.trial_params(page)
        run.log(contents.trial_points(page, self._card.objectives, run.step))
        run.step = max(run.step, *(report.step for report in page.reports), 0)
        if contents.is_final(trial):
            run.tags |= contents.outcome_tags(self._card, trial)
            if page.traceback:
                run.artifacts["traceback.txt"] = page.traceback
            run.ended = str(trial.state)

    def study_page(self, page: StudyPage) -> None:
        run = self._running()
        run.tags = {name: v for name, v in run.tags.items() if not name.startswith(contents.BEST)}
        run.tags |= contents.progress_tags(page, self._card.objectives)
        run.log(contents.curve_points(page) + contents.spent_points(page))
        for path in contents.files(page.artifacts):
            run.artifacts[path.name] = path.read_text(errors="replace")
        if page.bundle is not None:
            run.tags[contents.BUNDLE_TAG] = read_manifest(page.bundle).identity
            for path in contents.files(page.bundle):
                name = f"{contents.bundle_path(page.bundle)}/{path.name}"
                run.artifacts[name] = path.read_text(errors="replace")

    def finish(self, ending: Ending) -> None:
        if self._search is None:
            self._running().ended = str(ending)

    def forget(self, study_id: str) -> int:
        if self.parent is None or self.parent.tags[contents.STUDY_ID] != study_id:
            return 0
        runs = 1 + len(self.children)
        self.wipe()
        return runs

    def url(self) -> str | None:
        return None

    def _running(self) -> MemoryRun:
        if self.parent is None:
            raise LookupError("the study's run is gone")
        return self.parent
