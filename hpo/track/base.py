"""Where people look at a study: what a tracker shows, and what it must keep to.

A tracker is a view of the record. It can be slow, down or wiped at any moment; then its methods
raise whatever their library raises, the caller calls `start` again and publishes what is missing.
So every method can be repeated: the same content published twice shows once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from hpo.budget import Spending
from hpo.records import Json, Report, StudyCard, TrialRecord


class Ending(StrEnum):
    """How a study's run ended."""

    DONE = "done"
    STOPPED = "stopped"  # before its budget was used; it can be continued
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class TrialPage:
    """All that is shown of one trial.

    Args:
        reports: by step, ascending; all of them, whatever was published before.
        derived: values that follow from the config and are worth a column, such as a learning rate
            scaled to the batch size; by dotted path, the same in every call.
        traceback: of a failed trial; may be empty.
        labels: further tags of its run, by name without `hpo.`, the same in every call.
    """

    trial: TrialRecord
    reports: Sequence[Report] = ()
    derived: Mapping[str, Json] = field(default_factory=dict)
    traceback: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """The best value among trials 0 to `number`. `time` is Unix time in seconds."""

    number: int
    value: float
    time: float


@dataclass(frozen=True, slots=True)
class StudyPage:
    """All that is shown of the study itself.

    Args:
        description: Markdown, cut at 8000 characters.
        curves: of each objective, by metric: best so far by trial number, ascending. Points once
            given do not change later: trackers can only append.
        best: the best trial so far; with several objectives, the Pareto set.
        finished: trials in a final state.
        spent: it only grows from page to page.
        time: Unix time in seconds of the newest of this in the record, so that the same page
            published twice is the same.
        artifacts: a folder of files to show; those changed since the last call are copied.
        bundle: the newest of the study's bundles, a folder that never changes; copied once, to
            `bundle/NUMBER`.
        final: whether the final stage has begun.
    """

    description: str
    curves: Mapping[str, Sequence[CurvePoint]] = field(default_factory=dict)
    best: Sequence[TrialRecord] = ()
    finished: int = 0
    spent: Spending = field(default_factory=Spending)
    time: float = 0.0
    artifacts: Path | None = None
    final: bool = False
    bundle: Path | None = None


class Tracker(ABC):
    """One study's view. Used from one thread at a time, except `url`.

    The trials of the final stage are shown by a tracker of their own (`StudyCard.stage`), beside
    those of the search and in the same study's run. That run is the search's: only its tracker
    makes it, writes its page and marks its end.
    """

    @abstractmethod
    def start(self, card: StudyCard) -> frozenset[int]:
        """Finds or creates the study's run, by its identity and never by its name.

        Called first, and again after any other method failed or `present` said no.

        Returns:
            The numbers of trials of this stage already published in a final state.

        Raises:
            LookupError: the final stage finds no run of its study yet.
        """

    @abstractmethod
    def present(self) -> bool:
        """Whether the study's run is still there; `False` if the store was wiped or re-created."""

    @abstractmethod
    def open(self, page: TrialPage) -> None:
        """Makes sure that there is a run for one trial.

        While this is under way no other process may `start` on the same study: it could not see the
        run and would make another.
        """

    @abstractmethod
    def publish(self, page: TrialPage) -> None:
        """Shows one trial: running, with the reports so far, or as it ended. Opens it if need be.

        Values that are not finite are left out. A trial once shown as ended does not change.
        """

    @abstractmethod
    def study_page(self, page: StudyPage) -> None:
        """Shows how far the study is. Not called in the final stage."""

    @abstractmethod
    def finish(self, ending: Ending) -> None:
        """Marks the study's run as ended; `start` marks it as running again. In the final stage it
        only ends the publishing."""

    @abstractmethod
    def forget(self, study_id: str) -> int:
        """Removes a study's run and those of its trials. Needs no `start`.

        Returns:
            how many runs there were.
        """

    @abstractmethod
    def url(self) -> str | None:
        """Where people open the study's run; `None` if there is no address or not yet."""


class NoTracker(Tracker):
    """Tracking switched off."""

    def start(self, card: StudyCard) -> frozenset[int]:
        return frozenset()

    def present(self) -> bool:
        return True

    def open(self, page: TrialPage) -> None:
        pass

    def publish(self, page: TrialPage) -> None:
        pass

    def study_page(self, page: StudyPage) -> None:
        pass

    def finish(self, ending: Ending) -> None:
        pass

    def forget(self, study_id: str) -> int:
        return 0

    def url(self) -> str | None:
        return None
