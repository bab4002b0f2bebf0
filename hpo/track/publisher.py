"""Publishes a study while it runs, from its own thread, so that a tracker never holds it up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from hpo import metric_log
from hpo.home import StudyFolder
from hpo.records import Json, StudyCard, TrialRecord
from hpo.track import contents
from hpo.track.base import Ending, StudyPage, Tracker, TrialPage

# All trials changed since a cursor (0: since ever), and the cursor after them. A trial counts as
# changed also when it has reported.
Source = Callable[[int], tuple[int, list[TrialRecord]]]

MAX_PAUSE_S = 30.0
CLOSING_PAUSE_S = 0.25
OUTAGE_S = 1.0  # how long the end waits for a tracker that has failed
OPENING_S = 15.0  # how long the end waits for an answer to the one call that must not be lost


class Publisher:
    """Shows every change of a study in a tracker, once, whatever happens to the tracker.

    After any failure the tracker is started again: it says what it has, and the rest is published.
    So an outage, a restart of this process and a wiped store are all the same case.

    Args:
        source: called from the publisher's thread.
        folder: has the trials' reports and tracebacks.
        page: the study's own page from all trials, called from the publisher's thread when a trial
            has ended, at most every `page_every_s` seconds, and once at the end.
        derived: values shown beside a trial's config; see `TrialPage.derived`.
        labels: tags of a trial's run; see `TrialPage.labels`.
        every_s: seconds between two looks at the source.
    """

    def __init__(
        self,
        tracker: Tracker,
        card: StudyCard,
        source: Source,
        folder: StudyFolder,
        *,
        page: Callable[[Sequence[TrialRecord]], StudyPage] | None = None,
        derived: Callable[[TrialRecord], Mapping[str, Json]] | None = None,
        labels: Callable[[TrialRecord], Mapping[str, str]] | None = None,
        every_s: float = 0.5,
        page_every_s: float = 5.0,
    ) -> None:
        self.trouble: str | None = None
        """Why the tracker is behind, in one line; `None` when all is well."""
        self._tracker = tracker
        self._card = card
        self._source = source
        self._folder = folder
        self._page = page
        self._derived = derived
        self._labels = labels
        self._every_s = every_s
        self._page_every_s = page_every_s
        self._ending = Ending.DONE
        self._cursor = 0
        self._known: dict[int, TrialRecord] = {}
        self._pending: dict[int, TrialRecord] = {}
        self._refused: set[int] = set()
        self._retry_at = 0.0
        self._started = False
        self._page_is_old = True
        self._page_due = 0.0
        self._closing = threading.Event()
        self._deadline = 0.0
        self._all_published = False
        self._opening = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="hpo-publisher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def refresh(self) -> None:
        """Has the study's page written anew, as when a trial has ended."""
        self._page_is_old = True

    def close(self, timeout_s: float, ending: Ending = Ending.DONE) -> bool:
        """Publishes what is left and marks the study's run as ended.

        Args:
            timeout_s: at most so long; the tracker may be down. Only a run that is being opened is
                waited for beyond that.

        Returns:
            Whether all was published; if not, `trouble` says why.
        """
        self._ending = ending
        self._deadline = time.monotonic() + timeout_s
        self._closing.set()
        self._thread.join(timeout_s)
        # From here on another process may publish this study.
        if self._opening.acquire(timeout=OPENING_S):
            self._opening.release()
        if not self._all_published and self.trouble is None:
            self.trouble = f"the tracker did not take everything within {timeout_s:g} s"
        return self._all_published

    def _run(self) -> None:
        pause = self._every_s
        while True:
            closing = self._closing.is_set()
            if self._refused and (closing or time.monotonic() >= self._retry_at):
                self._started = False
            try:
                in_time = self._publish_changes(closing)
                if closing:
                    if in_time:
                        self._tracker.finish(self._ending)
                        self._all_published = not self._refused
                        self.trouble = None if self._all_published else self.trouble
                    return
                pause = self._every_s
                if not self._refused:
                    self.trouble = None
            except Exception as error:
                self._started = False
                self.trouble = _one_line(error)
                if closing:  # a tracker that is down is not waited for as one that is slow
                    self._deadline = min(self._deadline, time.monotonic() + OUTAGE_S)
                pause = min(max(2 * pause, 1.0), MAX_PAUSE_S)
            if not closing:
                self._closing.wait(pause)
            elif time.monotonic() < self._deadline:
                time.sleep(CLOSING_PAUSE_S)
            else:
                return

    def _publish_changes(self, closing: bool) -> bool:
        """Returns whether there was time for all of them."""
        self._cursor, changed = self._source(self._cursor)
        for trial in changed:
            self._known[trial.number] = self._pending[trial.number] = trial
            self._page_is_old |= contents.is_final(trial)
        page_is_due = time.monotonic() >= self._page_due
        # At the end always: what comes after the last trial makes no trial change.
        page = self._page if closing or (self._page_is_old and page_is_due) else None
        if self._started and not (self._pending or page or closing):
            return True
        if not self._started or not self._tracker.present():
            self._start_again()
        for number in list(self._pending):
            if not self._publish(self._pending[number]):
                return False
            del self._pending[number]
        if page:
            self._tracker.study_page(page([self._known[number] for number in sorted(self._known)]))
            self._page_is_old = False
            self._page_due = time.monotonic() + self._page_every_s
        return True

    def _start_again(self) -> None:
        published = self._tracker.start(self._card)
        self._started = True
        self._refused.clear()
        self._page_is_old = True
        self._pending = {
            number: trial for number, trial in self._known.items() if number not in published
        }

    def _publish(self, trial: TrialRecord) -> bool:
        """Returns whether there was time for it."""
        try:
            page = self._trial_page(trial)
            with self._opening:
                if self._closing.is_set() and time.monotonic() >= self._deadline:
                    return False  # nobody waits any more, and another process may take over
                self._tracker.open(page)
            self._tracker.publish(page)
        except Exception as error:
            # With the tracker in order it is this trial that it cannot take: the others go on.
            if not self._tracker.present():
                raise
            self._refused.add(trial.number)
            self._retry_at = time.monotonic() + MAX_PAUSE_S
            self.trouble = f"trial {trial.number}: {_one_line(error)}"
        return True

    def _trial_page(self, trial: TrialRecord) -> TrialPage:
        traceback = self._folder.traceback(trial.number)
        return TrialPage(
            trial,
            metric_log.read(self._folder.metrics(trial.number)),
            self._derived(trial) if self._derived else {},
            traceback.read_text(errors="replace") if traceback.exists() else "",
            self._labels(trial) if self._labels else {},
        )


def _one_line(error: Exception) -> str:
    text = str(error).strip().partition("\n")[0]
    if len(text) > 200:  # which call it was stands in front, what went wrong at the end
        text = f"{text[:80]}…{text[-119:]}"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
