"""The coordinator: hands out trials, takes reports, decides, records.

One plain class. Inline runs call it directly; under Ray it is an actor. It alone writes the record,
and everything it knows beside the record (who runs what) can be lost: workers that hold a trial it
does not know of are taken at their word, trials that nobody holds run again.
"""

from __future__ import annotations

import json
import math
import shutil
import threading
import time
import uuid
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import update_wrapper
from typing import Any, Concatenate, ParamSpec, TypeVar

from hpo import frozen, metric_log
from hpo.budget import Spending
from hpo.errors import HpoError, InputError, StudyFailed
from hpo.files import write_atomically
from hpo.home import StudyFolder
from hpo.ledger import Ledger
from hpo.limits import Limits
from hpo.lock import FileLock
from hpo.records import (
    TIMED_OUT,
    Decision,
    Json,
    Outcome,
    Report,
    State,
    TrialRecord,
    TrialSpec,
)
from hpo.search import grid
from hpo.search.draws import Draws
from hpo.search.samplers import Proposal
from hpo.seeds import derive
from hpo.space.messages import did_you_mean

P = ParamSpec("P")
R = TypeVar("R")

MAX_LOSSES = 3
"""A trial that took its worker down so many times is not tried again."""

MAX_DEATHS = 5
"""Workers that died one after the other, none finishing a trial, before the study gives up."""

PREDECESSOR_SECONDS = 20.0
"""How long the writer before, whose run was killed, may take to be gone."""

OVERTIME_SECONDS = 5.0
"""How long a worker may take to notice that its trial is over the time limit."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a study is.

    Args:
        total: trials asked for, or points of the grid if these are fewer; `None` if only the budget
            ends the study.
        counts: trials by state.
        best: the best complete trial; with several objectives, the Pareto set.
        started: when this run began, Unix time; finished_here: trials finished since.
        done: whether the budget is used up and every trial has ended or is paused.
        failure: why the study cannot go on; `None` if it can.
        spent: in all runs.
        ended_by: why the study was over before its number of trials; empty if it was not.
    """

    total: int | None
    counts: dict[State, int]
    best: tuple[TrialRecord, ...]
    started: float
    finished_here: int
    done: bool
    stopping: bool
    failure: HpoError | None
    spent: Spending
    ended_by: str

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
        folder: of a study that is frozen.
        again: whether this takes the place of a coordinator that died while its workers live on.

    Raises:
        StudyConflict: another process writes this study's record.
    """

    def __init__(self, folder: StudyFolder, again: bool = False) -> None:
        self.study = frozen.thaw(folder)
        self.folder = folder
        self._mutex = threading.RLock()
        self._asking = threading.Lock()  # one draw at a time; reports go on meanwhile
        self._lock = FileLock(folder.root / "record.lock", PREDECESSOR_SECONDS)
        file = self.study.file
        self._record = frozen.open_record(folder, writable=True)
        self._ledger = Ledger(self._record.spent, file.resources.cpus, file.resources.gpus)
        known = frozen.read_known(folder)
        self._draws = Draws(
            self._record,
            self.study.space,
            file.search,
            file.pruner,
            enqueue=known.enqueue,
            earlier=[(trial.config, trial.told()) for trial in known.trials],
            extension=self.study.extension,
        )
        self._trials: dict[int, TrialRecord] = {}
        self._counts: Counter[State] = Counter()
        self._version = 0
        self._changed: OrderedDict[int, int] = OrderedDict()
        for trial in self._record.trials():
            self._note(trial)
        self._limits = Limits(file.budget, self.study.objectives, self._trials.values())
        self._results = {
            _canonical(t.config): t.number
            for t in self._trials.values()
            if self.study.trainable.deterministic and t.state in _ANSWERS
        }
        unfinished = [n for n, t in self._trials.items() if t.state is State.RUNNING]
        # Workers that live on have some time to say what they hold.
        self._unclaimed = set(unfinished if again else ())
        self._claims_until = time.monotonic() + 3 * file.resources.heartbeat_seconds
        self._waiting = deque(() if again else unfinished)
        self._leases: dict[int, str] = {}
        self._heard: dict[str, float] = {}
        self._losses: Counter[int] = Counter()
        self._deaths = 0
        self._stopping = False
        self._closed = False
        self._failure: HpoError | None = None
        self._ended_by = self._limits.reached(self._ledger.spent())
        self._started = time.time()
        self._finished_before = self._finished()

    # -- workers ------------------------------------------------------------------------------

    def next_trial(self, worker: str) -> TrialSpec | None:
        """A trial for a worker that runs none; `None` when none is left or the study stops."""
        with self._asking:
            while True:
                spec, draw = self._hand_out(worker)
                if draw is None:
                    return spec
                try:
                    drawn = draw.result()
                except Exception as error:
                    self._draw_failed(error)
                    return None
                if drawn is None or not self._open(worker, drawn):
                    return None

    @_locked
    def alive(self, worker: str, number: int | None, lease: str) -> None:
        """A sign of life, with the trial that the worker holds, if any."""
        self._hear(worker)
        if number is not None:
            self._holds(number, lease)

    @_locked
    @_writes(otherwise=Decision.PAUSE)
    def report(self, number: int, lease: str, report: Report) -> Decision:
        """Records metrics at one step and decides whether the trial goes on."""
        self._hear(_worker(lease))
        if not self._holds(number, lease):
            return Decision.PAUSE  # handed to someone else meanwhile: this execution is void
        first = self._trials[number].steps == 0
        missing = [o.metric for o in self.study.objectives if o.metric not in report.metrics]
        if first and missing:
            self._unreported(missing[0], list(report.metrics), "its first report")
            return Decision.PAUSE
        metric_log.append(self.folder.metrics(number), report)
        value = report.metrics.get(self.study.objectives[0].metric)
        prune = value is not None and self._record.report(number, report.step, value)
        self._note(replace(self._trials[number], steps=report.step, metrics=dict(report.metrics)))
        if not all(map(math.isfinite, self._watched(report.metrics))):
            return Decision.DIVERGE
        if prune:
            return Decision.PRUNE
        if self._overtime(number) > 0:
            return Decision.TIME_OUT
        self._look_at_budget()
        return Decision.PAUSE if self._stopping or self._ended_by else Decision.GO_ON

    @_locked
    @_writes(otherwise=None)
    def finish(self, number: int, lease: str, outcome: Outcome) -> None:
        """Records how a trial ended."""
        self._hear(_worker(lease))
        if not self._holds(number, lease):
            return
        metrics: dict[str, float] = {}
        for report in metric_log.read(self.folder.metrics(number)):
            metrics.update(report.metrics)  # not every report need carry every metric
        metrics.update(outcome.metrics)
        names = [objective.metric for objective in self.study.objectives]
        if outcome.state is State.COMPLETE:
            missing = [name for name in names if name not in metrics]
            if not metrics:
                outcome = Outcome(
                    State.FAILED, {}, "the trainable neither reported nor returned a metric"
                )
            elif missing:
                self._unreported(missing[0], list(metrics), "what it returned")
                return
            elif not all(map(math.isfinite, self._watched(metrics))):
                outcome = Outcome(State.DIVERGED, {}, "a loss or the objective was not finite")
            elif self._overtime(number) > 0:
                outcome = TIMED_OUT
        if outcome.traceback:
            write_atomically(self.folder.traceback(number), outcome.traceback)
        values = [metrics.get(name, math.nan) for name in names]
        kept = outcome.state in (State.COMPLETE, State.PRUNED) and all(map(math.isfinite, values))
        self._close(number, replace(outcome, metrics=metrics), values if kept else [])

    # -- whoever places the workers -----------------------------------------------------------

    @_locked
    @_writes(otherwise=None)
    def worker_ended(self, worker: str, died: bool, out_of_memory: bool = False) -> None:
        """Takes back what a worker held. A trial that keeps killing its workers is given up.

        Args:
            out_of_memory: whether the worker was killed since the machine ran out of memory.
        """
        lost = self._take_back(worker)
        self._heard.pop(worker, None)
        self._ledger.worker_ended(worker)
        if not died:
            return
        self._deaths += 1
        if lost is not None:
            self._losses[lost] += 1
            if out_of_memory:
                self._waiting.remove(lost)
                reason = "its worker was killed, the machine was out of memory"
                self._close(lost, Outcome(State.OUT_OF_MEMORY, {}, reason), [])
            elif self._losses[lost] >= MAX_LOSSES:
                self._waiting.remove(lost)
                reason = f"its worker died {MAX_LOSSES} times while running it"
                self._close(lost, Outcome(State.FAILED, {}, reason), [])
        elif self._deaths >= MAX_DEATHS:
            self._fail(
                StudyFailed(
                    f"{self._deaths} workers died, one after the other",
                    "run the study with --inline to see why",
                )
            )

    @_locked
    @_writes(otherwise=())
    def overdue(self, workers: Sequence[str]) -> tuple[str, ...]:
        """Workers to be killed: silent beyond their lease, or deaf to their trial's time limit.

        A silent worker's trial is taken back at once: what it may still report does not count.

        Args:
            workers: that have been started and not ended.
        """
        now, lease_seconds = time.monotonic(), self.study.file.resources.lease_seconds
        for worker in workers:  # one that never said a word counts from now on
            self._heard.setdefault(worker, now)
        silent = [w for w, heard in self._heard.items() if now - heard > lease_seconds]
        for worker in silent:
            self._take_back(worker)
        deaf = []
        for number, lease in list(self._leases.items()):
            if self._overtime(number) > OVERTIME_SECONDS:
                deaf.append(_worker(lease))
                self._close(number, TIMED_OUT, [])
        if now > self._claims_until:
            self._waiting.extend(sorted(self._unclaimed))
            self._unclaimed.clear()
        self._look_at_budget()
        return (*silent, *deaf)

    @_locked
    def work_left(self) -> bool:
        """Whether a new worker would get a trial now."""
        return not self._over() and (bool(self._waiting) or self._may_ask())

    @_locked
    def finished(self) -> bool:
        """Whether no worker will be needed any more."""
        return self._stopping or self.progress().done

    # -- whoever runs the study ---------------------------------------------------------------

    @_locked
    def stop(self) -> None:
        """Ends the run: no new trials, and those running pause at their next report."""
        self._stopping = True

    @_locked
    def progress(self) -> Progress:
        left = bool(self._waiting or self._unclaimed) or self._may_ask()
        return Progress(
            total=self._total(),
            counts=dict(+self._counts),
            best=tuple(self._limits.best),
            started=self._started,
            finished_here=self._finished() - self._finished_before,
            done=not self._leases and (bool(self._ended_by) or not left),
            stopping=self._stopping,
            failure=self._failure,
            spent=self._ledger.spent(),
            ended_by=self._ended_by,
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

    @_locked
    def close(self) -> None:
        """Ends the writing of the record; may be called again."""
        if self._closed:
            return
        self._closed = True
        spent = self._ledger.spent()
        if spent.worker_seconds > self._record.spent.worker_seconds:
            with suppress(OSError):  # the disk may be full, which was told before
                self._record.spend(spent)
        self._draws.close()
        self._record.close()
        self._lock.release()

    # -- inside -------------------------------------------------------------------------------

    @_locked
    def _hand_out(self, worker: str) -> tuple[TrialSpec | None, Future[Proposal | None] | None]:
        """A trial that waits, or else the draw of a new one, or neither."""
        self._hear(worker)
        self._take_back(worker)
        self._look_at_budget()
        if self._over():
            return None, None
        if self._waiting:
            return self._lease_to(worker, self._waiting.popleft()), None
        return None, self._draws.next() if self._may_ask() else None

    @_locked
    @_writes(otherwise=False)
    def _open(self, worker: str, drawn: Proposal) -> bool:
        """Opens the trial that was drawn; it waits for whoever asks next, which is `worker`."""
        if self._over():
            return False
        trial = self._draws.open(drawn, workers=len(self._leases) + 1)
        self._note(trial)
        same = self._results.get(_canonical(trial.config))
        if same is None:
            self._waiting.appendleft(trial.number)
        else:
            self._answer(trial.number, self._trials[same])
        return True

    def _answer(self, number: int, known: TrialRecord) -> None:
        """Gives a trial the result of another with the same config, without running it."""
        outcome = Outcome(known.state, known.metrics, f"same config as trial {known.number}")
        self._close(number, outcome, known.values, same_as=known.number)

    @_locked
    def _draw_failed(self, error: Exception) -> None:
        if isinstance(error, HpoError):
            self._fail(error)
            return
        sampler = self.study.file.search.sampler
        self._fail(
            StudyFailed(
                f"the sampler {sampler} failed: {type(error).__name__}: {error}",
                "run the study again to continue it; if it fails again, take another sampler",
            )
        )

    def _lease_to(self, worker: str, number: int) -> TrialSpec:
        self._leases[number] = _lease(worker)
        self._ledger.trial_began(number)
        seed = derive(self.study.file.search.seed, "trial", number)
        return TrialSpec(number, self._trials[number].config, seed, self._leases[number])

    def _total(self) -> int | None:
        """Trials in all; of a grid, the points that the config model accepts may be fewer."""
        search = self.study.file.search
        size = grid.size(self.study.space.root) if search.sampler == "grid" else math.inf
        total = min(size, search.trials or math.inf)
        return None if total == math.inf else int(total)

    def _may_ask(self) -> bool:
        total = self.study.file.search.trials
        return (total is None or len(self._trials) < total) and self._draws.has_next()

    def _over(self) -> bool:
        return self._stopping or bool(self._ended_by)

    def _finished(self) -> int:
        return len(self._trials) - self._counts[State.RUNNING]

    def _look_at_budget(self) -> None:
        self._ended_by = self._ended_by or self._limits.reached(self._ledger.spent())

    def _overtime(self, number: int) -> float:
        """Seconds by which a trial is over its time limit; negative or 0 if it is not."""
        limit = self.study.file.budget.trial_seconds
        return -math.inf if limit is None else self._ledger.running_for(number) - limit

    def _hear(self, worker: str) -> None:
        self._heard[worker] = time.monotonic()
        self._ledger.worker_seen(worker)

    def _holds(self, number: int, lease: str) -> bool:
        """Whether a result may be taken from this lease.

        After a restart of this process nothing is known of leases: the first to speak for a trial
        holds it.
        """
        trial = self._trials.get(number)
        if trial is None or trial.state is not State.RUNNING:
            return False
        if number in self._unclaimed:
            self._unclaimed.remove(number)
            self._leases[number] = lease
            self._ledger.trial_began(number)
        return self._leases.get(number) == lease

    def _take_back(self, worker: str) -> int | None:
        for number, lease in self._leases.items():
            if _worker(lease) == worker:
                del self._leases[number]
                self._ledger.trial_left(number)
                self._waiting.append(number)
                return number
        return None

    def _close(
        self,
        number: int,
        outcome: Outcome,
        values: Sequence[float],
        same_as: int | None = None,
    ) -> None:
        self._leases.pop(number, None)
        self._deaths = 0
        seconds = self._ledger.trial_ended(number, outcome.state)
        trial = self._record.finish(number, outcome, values, seconds, same_as, self._ledger.spent())
        self._note(trial)
        self._draws.ended(number)
        if self.study.trainable.deterministic and trial.state in _ANSWERS:
            self._results.setdefault(_canonical(trial.config), number)
        # What a trial saved is of use until it ends; after that, only that of the best is.
        dropped = self._limits.ended(trial)
        for old in (*dropped, *(() if trial in self._limits.best else (trial,))):
            shutil.rmtree(self.folder.checkpoint(old.number), ignore_errors=True)
        why = self._limits.failing()
        if why is not None:
            traceback = self.folder.traceback(number)
            hint = f"its traceback is in {traceback}; " if traceback.exists() else ""
            self._fail(StudyFailed(why, f"{hint}mend that and run the study again to continue it"))

    def _note(self, trial: TrialRecord) -> None:
        self._version += 1
        before = self._trials.get(trial.number)
        if before is not None:
            self._counts[before.state] -= 1
        self._counts[trial.state] += 1
        self._trials[trial.number] = trial
        self._changed[trial.number] = self._version
        self._changed.move_to_end(trial.number)

    def _watched(self, metrics: Mapping[str, float]) -> list[float]:
        """The objectives and every loss: if one is not finite, the trial has diverged."""
        objectives = [objective.metric for objective in self.study.objectives]
        return [
            value
            for name, value in metrics.items()
            if name in objectives or name == "loss" or name.endswith("_loss")
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


_ANSWERS = (State.COMPLETE, State.PRUNED, State.DIVERGED, State.OUT_OF_MEMORY)
"""What a deterministic trainable would come to again; a failure may have had other causes."""


def _canonical(config: Json) -> str:
    return json.dumps(config, sort_keys=True)
