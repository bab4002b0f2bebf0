"""The coordinator: hands out trials, takes reports, decides, records.

One plain class. Inline runs call it directly; under Ray it is an actor. It alone writes the record,
and everything it knows beside the record (who runs what) can be lost: workers that hold a trial it
does not know of are taken at their word, trials that nobody holds run again.
"""

from __future__ import annotations

import math
import shutil
import threading
import time
import uuid
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import update_wrapper
from typing import Any, Concatenate, ParamSpec, TypeVar

from hpo import metric_log
from hpo.errors import HpoError, InputError, StudyFailed
from hpo.files import write_atomically
from hpo.home import StudyFolder
from hpo.lock import FileLock
from hpo.records import Decision, Outcome, Report, State, TrialRecord, TrialSpec, best_trial
from hpo.search import grid
from hpo.search.record import Record
from hpo.search.samplers import proposer
from hpo.seeds import derive
from hpo.space.messages import did_you_mean
from hpo.studyfile import Study

P = ParamSpec("P")
R = TypeVar("R")

MAX_LOSSES = 3
"""A trial that took its worker down so many times is not tried again."""

MAX_DEATHS = 5
"""Workers that died one after the other, none finishing a trial, before the study gives up."""

PREDECESSOR_SECONDS = 20.0
"""How long the writer before, whose run was killed, may take to be gone."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a study is.

    Args:
        total: trials asked for, or points of the grid if these are fewer.
        counts: trials by state.
        started: when this run began, Unix time; finished_here: trials finished since.
        done: whether the budget is used up and every trial has ended.
        failure: why the study cannot go on; `None` if it can.
    """

    total: int
    counts: dict[State, int]
    best: TrialRecord | None
    started: float
    finished_here: int
    done: bool
    stopping: bool
    failure: HpoError | None

    @property
    def finished(self) -> int:
        return sum(n for state, n in self.counts.items() if state is not State.RUNNING)


def _lease(worker: str) -> str:
    """A new lease. It names its worker, so that a coordinator started anew knows whose it is."""
    return f"{worker}/{uuid.uuid4().hex}"


def _worker(lease: str) -> str:
    return lease.rpartition("/")[0]


def _locked(
    method: Callable[Concatenate[Coordinator, P], R],
) -> Callable[Concatenate[Coordinator, P], R]:
    """Inline, a view and a publisher look on from other threads."""

    def locked(self: Coordinator, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self._mutex:
            return method(self, *args, **kwargs)

    update_wrapper(locked, method)
    return locked


def _writes(
    otherwise: Any,
) -> Callable[[Callable[Concatenate[Coordinator, P], R]], Callable[Concatenate[Coordinator, P], R]]:
    """A disk that is full or gone stops the study; `otherwise` is what the worker is told."""

    def decorate(
        method: Callable[Concatenate[Coordinator, P], R],
    ) -> Callable[Concatenate[Coordinator, P], R]:
        def guarded(self: Coordinator, /, *args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return method(self, *args, **kwargs)
            except OSError as error:
                self._fail(
                    StudyFailed(
                        f"the record cannot be written: {error}",
                        "mend that and run the study again: nothing that was recorded is lost",
                    )
                )
                return otherwise  # type: ignore[no-any-return]

        update_wrapper(guarded, method)
        return guarded

    return decorate


class Coordinator:
    """See the module's docstring. Methods may be called again with the same arguments.

    Args:
        load: makes the study; called here, since a study does not travel between processes.
        folder: the study's.

    Raises:
        StudyConflict: another process writes this study's record.
    """

    def __init__(self, load: Callable[[], Study], folder: StudyFolder) -> None:
        self.study = load()
        self.folder = folder
        self._mutex = threading.RLock()
        self._lock = FileLock(folder.root / "record.lock", PREDECESSOR_SECONDS)
        self._record = Record(folder.journal, self.study.objective, self.study.file.pruner.make())
        self._proposer = proposer(self.study.space, self.study.file.search)
        self._trials: dict[int, TrialRecord] = {}
        self._version = 0
        self._changed: OrderedDict[int, int] = OrderedDict()
        for trial in self._record.trials():
            self._note(trial)
        self._waiting = deque(n for n, t in self._trials.items() if t.state is State.RUNNING)
        self._leases: dict[int, str] = {}
        self._losses: Counter[int] = Counter()
        self._deaths = 0
        self._stopping = False
        self._failure: HpoError | None = None
        self._best = best_trial(list(self._trials.values()), self.study.objective)
        self._started = time.time()
        self._finished_before = sum(t.state is not State.RUNNING for t in self._trials.values())

    # -- workers ------------------------------------------------------------------------------

    @_locked
    @_writes(otherwise=None)
    def next_trial(self, worker: str) -> TrialSpec | None:
        """A trial for a worker that runs none; `None` when none is left or the study stops."""
        self._take_back(worker)
        if self._stopping:
            return None
        if self._waiting:
            number = self._waiting.popleft()
        else:
            asked = self._ask()
            if asked is None:
                return None
            number = asked
        self._leases[number] = _lease(worker)
        seed = derive(self.study.file.search.seed, "trial", number)
        return TrialSpec(number, self._trials[number].config, seed, self._leases[number])

    @_locked
    @_writes(otherwise=Decision.PAUSE)
    def report(self, number: int, lease: str, report: Report) -> Decision:
        """Records metrics at one step and decides whether the trial goes on."""
        if not self._holds(number, lease):
            return Decision.PAUSE  # handed to someone else meanwhile: this execution is void
        metric = self.study.objective.metric
        first = self._trials[number].steps == 0
        if first and metric not in report.metrics:
            self._unreported(metric, list(report.metrics), "its first report")
            return Decision.PAUSE
        metric_log.append(self.folder.metrics(number), report)
        value = report.metrics.get(metric)
        prune = value is not None and self._record.report(number, report.step, value)
        self._note(replace(self._trials[number], steps=report.step, metrics=dict(report.metrics)))
        if not all(map(math.isfinite, self._watched(report.metrics))):
            return Decision.DIVERGE
        if prune:
            return Decision.PRUNE
        return Decision.PAUSE if self._stopping else Decision.GO_ON

    @_locked
    @_writes(otherwise=None)
    def finish(self, number: int, lease: str, outcome: Outcome) -> None:
        """Records how a trial ended."""
        if not self._holds(number, lease):
            return
        metrics: dict[str, float] = {}
        for report in metric_log.read(self.folder.metrics(number)):
            metrics.update(report.metrics)  # not every report need carry every metric
        metrics.update(outcome.metrics)
        value = metrics.get(self.study.objective.metric)
        if outcome.state is State.COMPLETE:
            if not metrics:
                outcome = Outcome(
                    State.FAILED, {}, "the trainable neither reported nor returned a metric"
                )
            elif value is None:
                self._unreported(self.study.objective.metric, list(metrics), "what it returned")
                return
            elif not all(map(math.isfinite, self._watched(metrics))):
                outcome = Outcome(State.DIVERGED, {}, "a loss or the objective was not finite")
        if value is not None and not math.isfinite(value):
            value = None
        if outcome.traceback:
            write_atomically(self.folder.traceback(number), outcome.traceback)
        kept = value if outcome.state in (State.COMPLETE, State.PRUNED) else None
        self._close(number, replace(outcome, metrics=metrics), kept)

    @_locked
    @_writes(otherwise=None)
    def worker_ended(self, worker: str, died: bool) -> None:
        """Takes back what a worker held. A trial that keeps killing its workers is given up."""
        lost = self._take_back(worker)
        if not died:
            return
        self._deaths += 1
        if lost is not None:
            self._losses[lost] += 1
            if self._losses[lost] >= MAX_LOSSES:
                self._waiting.remove(lost)
                reason = f"its worker died {MAX_LOSSES} times while running it"
                self._close(lost, Outcome(State.FAILED, {}, reason), None)
        elif self._deaths >= MAX_DEATHS:
            self._fail(
                StudyFailed(
                    f"{self._deaths} workers died, one after the other",
                    "run the study with --inline to see why",
                )
            )

    # -- whoever runs the study ---------------------------------------------------------------

    @_locked
    def work_left(self) -> bool:
        """Whether a new worker would get a trial now."""
        return not self._stopping and (bool(self._waiting) or self._may_ask())

    @_locked
    def finished(self) -> bool:
        """Whether no worker will be needed any more."""
        return self._stopping or self.progress().done

    @_locked
    def stop(self) -> None:
        """Ends the run: no new trials, and those running pause at their next report."""
        self._stopping = True

    @_locked
    def progress(self) -> Progress:
        counts = Counter(trial.state for trial in self._trials.values())
        finished = sum(n for state, n in counts.items() if state is not State.RUNNING)
        return Progress(
            total=self._total(),
            counts=dict(counts),
            best=self._best,
            started=self._started,
            finished_here=finished - self._finished_before,
            done=not (self._waiting or self._leases or self._may_ask()),
            stopping=self._stopping,
            failure=self._failure,
        )

    @_locked
    def changes(self, since: int) -> tuple[int, list[TrialRecord]]:
        """Trials changed since an earlier answer's number (0: all), and the number for next."""
        changed = []
        for number in reversed(self._changed):
            if self._changed[number] <= since:
                break
            changed.append(self._trials[number])
        return self._version, sorted(changed, key=lambda t: t.number)

    def close(self) -> None:
        self._lock.release()

    # -- inside -------------------------------------------------------------------------------

    def _total(self) -> int:
        """Trials in all; of a grid, the points that the config model accepts may be fewer."""
        search = self.study.file.search
        size = grid.size(self.study.space.root) if search.sampler == "grid" else math.inf
        return int(min(size, search.trials or math.inf))

    def _may_ask(self) -> bool:
        total = self.study.file.search.trials
        if total is not None and len(self._trials) >= total:
            return False
        return self._proposer.has_next(self._record.last_position)

    def _ask(self) -> int | None:
        if not self._may_ask():
            return None
        try:
            trial = self._record.ask(self._proposer, self.study.space)
        except StudyFailed as failure:
            self._fail(failure)
            return None
        assert trial is not None, "has_next said there is one"
        self._note(trial)
        return trial.number

    def _holds(self, number: int, lease: str) -> bool:
        """Whether a result may be taken from this lease.

        After a restart of this process nothing is known of leases: the first to speak for a trial
        holds it.
        """
        trial = self._trials.get(number)
        if trial is None or trial.state is not State.RUNNING:
            return False
        if number in self._waiting and not self._losses[number]:
            self._waiting.remove(number)
            self._leases[number] = lease
        return self._leases.get(number) == lease

    def _take_back(self, worker: str) -> int | None:
        for number, lease in self._leases.items():
            if _worker(lease) == worker:
                del self._leases[number]
                self._waiting.append(number)
                return number
        return None

    def _close(self, number: int, outcome: Outcome, value: float | None) -> None:
        self._leases.pop(number, None)
        self._deaths = 0
        trial = self._record.finish(number, outcome, value)
        self._note(trial)
        # What a trial saved is of use until it ends; after that, only the best one's is.
        ended = [t for t in (self._best, trial) if t]
        self._best = best_trial(ended, self.study.objective)
        for old in ended:
            if old is not self._best:
                shutil.rmtree(self.folder.checkpoint(old.number), ignore_errors=True)

    def _note(self, trial: TrialRecord) -> None:
        self._version += 1
        self._trials[trial.number] = trial
        self._changed[trial.number] = self._version
        self._changed.move_to_end(trial.number)

    def _watched(self, metrics: Any) -> list[float]:
        """The objective and every loss: if one is not finite, the trial has diverged."""
        objective = self.study.objective.metric
        return [
            value
            for name, value in metrics.items()
            if name in (objective, "loss") or name.endswith("_loss")
        ]

    def _unreported(self, metric: str, names: list[str], where: str) -> None:
        known = ", ".join(sorted(names)) or "nothing"
        self._fail(
            InputError(
                f"objective.metric is {metric!r}, but in {where} the trainable has: {known}"
                + did_you_mean(metric, names),
                "set objective.metric to one of them, or report it",
            )
        )

    def _fail(self, failure: HpoError) -> None:
        self._failure = failure
        self._stopping = True
