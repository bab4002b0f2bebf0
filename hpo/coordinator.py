"""The coordinator: hands out trials, takes reports, decides, records.

One plain class. Inline runs call it directly; under Ray it is an actor. It alone writes the record,
and everything it knows beside the record (who runs what) can be lost: workers that hold a trial it
does not know of are taken at their word, trials that nobody holds run again.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace

from hpo import metric_log
from hpo.assignments import Assignments, worker_of
from hpo.checkpoints import StoreLost
from hpo.endings import Ending
from hpo.errors import HpoError, InputError, StudyFailed
from hpo.execute.output import MAX_BYTES
from hpo.files import append_bounded, write_atomically
from hpo.guards import locked, writes
from hpo.ledger import Ledger
from hpo.limits import Limits
from hpo.lock import FileLock
from hpo.progress import Progress
from hpo.records import (
    TIMED_OUT,
    Decision,
    Outcome,
    Report,
    Saved,
    State,
    TrialRecord,
    TrialSpec,
    canonical,
)
from hpo.search.samplers import Proposal
from hpo.space.messages import did_you_mean
from hpo.stage import Stage
from hpo.trainable import fusion_key

MAX_LOSSES = 3
"""A trial that took its worker down so many times is not tried again."""

MAX_DEATHS = 5
"""Workers that died one after the other, none finishing a trial, before the study gives up."""

PREDECESSOR_SECONDS = 20.0
"""How long the writer before, whose run was killed, may take to be gone."""

SPENT_SECONDS = 60.0
"""Between two notes of what was spent, while trials run."""

DRAWS_A_LANE = 4
"""At most so many trials are drawn for each that a pack has room for: most may not fit. Where the
study learns from results, no more wait than a pack has lanes."""

AHEAD_PART, AHEAD_LEAST = 4, 8
"""Packs of a study that learns from its results may hold a quarter of its trials, or so many: what
is drawn for them is drawn without each other's results."""

OVERTIME_SECONDS = 5.0
"""How long a worker may take to notice that its trial is over the time limit."""


class Coordinator:
    """See the module's docstring. Methods but `said` may be called again with the same arguments.

    Args:
        stage: of a study that is frozen.
        again: whether this takes the place of a coordinator that died while its workers live on.

    Raises:
        StudyConflict: another process writes this study's record.
    """

    def __init__(self, stage: Stage, again: bool = False) -> None:
        self.folder = stage.folder
        self.mutex = threading.RLock()
        self._asking = threading.Lock()  # one draw at a time; reports go on meanwhile
        self._lock = FileLock(stage.folder.root / "record.lock", PREDECESSOR_SECONDS)
        self._stage = stage.open()
        self.study, self._record, self._draws = (
            self._stage.study,
            self._stage.record,
            self._stage.source,
        )
        file = self.study.file
        self._ledger = Ledger(self._record.spent, file.resources.cpus, file.resources.gpus)
        self._trials: dict[int, TrialRecord] = {}
        self._counts: Counter[State] = Counter()
        self._version = 0
        self._changed: OrderedDict[int, int] = OrderedDict()
        for trial in self._record.trials():
            self._note(trial)
        self._limits = Limits(self._stage.budget, self.study.objectives, self._trials.values())
        self._results = {
            canonical(t.config): t.number
            for t in self._trials.values()
            if self.study.trainable.deterministic and t.state in _ANSWERS
        }
        self._assignments = Assignments(
            [n for n, t in self._trials.items() if t.state is State.RUNNING],
            claim_seconds=3 * file.resources.heartbeat_seconds if again else 0.0,
        )
        self._losses: Counter[int] = Counter()
        self._deaths = 0
        self._most_workers: float = math.inf
        self._widest: int | None = None
        self._fusion_keys: dict[int, str | None] = {}
        self._alone: set[int] = set()
        self._misfits = 1 if self._stage.learns else DRAWS_A_LANE
        self._ahead: float = math.inf
        if self._stage.learns and file.resources.pack == "auto":
            self._ahead = max(AHEAD_LEAST, (self._stage.total or 0) // AHEAD_PART)
        self._stopping = False
        self._closed = False
        self._spent_at = time.monotonic()
        self._failure: HpoError | None = None
        self._ended_by = self._limits.reached(self._ledger.spent())
        self._started = time.time()
        self._finished_before = self._finished()
        for trial in self._trials.values():  # a crash may have left what is of no use
            if trial.state is not State.RUNNING and not self._keeps(trial):
                self._stage.checkpoints.drop(trial.number)

    # -- workers ------------------------------------------------------------------------------

    @locked
    def began(self, worker: str, node: str) -> None:
        """A worker has begun on some node."""
        self._assignments.began(worker, node)

    def next_trial(self, worker: str) -> TrialSpec | None:
        """A trial for a worker that runs none; `None` when none is left, the study stops, or there
        are workers enough."""
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
                if drawn is None or not self._open(drawn, self._assignments.busy + 1):
                    return None

    def more(self, worker: str, held: Sequence[int], room: int) -> list[TrialSpec]:
        """Trials that can train together with those that the worker holds, at most `room`.

        They are those that come next in any case. Of what is drawn on the way, what does not fit
        waits for another pack or worker. What the worker does not name it does not run: it has not
        heard an earlier answer.
        """
        found: list[TrialSpec] = []
        with self._asking:
            for _ in range(DRAWS_A_LANE * room):
                known = [*held, *(spec.number for spec in found)]
                specs, draw = self._join(worker, known, room - len(found))
                found += specs
                if draw is None:
                    break
                try:
                    drawn = draw.result()
                except Exception as error:
                    self._draw_failed(error)
                    break
                if drawn is None or not self._open(drawn, self._assignments.busy):
                    break
        return found

    @locked
    def give_back(self, worker: str, numbers: Sequence[int], alone: bool) -> None:
        """The worker runs these no more, and nobody is to blame; `alone`: each runs by itself."""
        self._hear(worker)
        for number in self._assignments.take_back(worker, numbers):
            self._ledger.trial_left(number)
            if alone:
                self._alone.add(number)

    @locked
    def alive(self, worker: str, held: Sequence[tuple[int, str]]) -> None:
        """A sign of life, with the trials that the worker holds and their leases."""
        self._hear(worker)
        for number, lease in held:
            self._holds(number, lease)

    def report_all(self, reports: Sequence[tuple[int, str, Report]]) -> list[Decision]:
        """As `report`, for trials that train together: each by number, with its lease."""
        return [self.report(number, lease, report) for number, lease, report in reports]

    @locked
    def too_wide(self, worker: str, lanes: int) -> None:
        """A worker has no memory for so many trials at once: packs have half of that from now on.

        Nobody is to blame: the trials wait, and the worker may end.
        """
        self._widest = min(self._widest or lanes, max(1, lanes // 2))
        self._take_back(worker)
        self._deaths = 0

    @locked
    @writes(otherwise=Decision.PAUSE)
    def report(self, number: int, lease: str, report: Report) -> Decision:
        """Records metrics at one step and decides whether the trial goes on."""
        self._hear(worker_of(lease))
        if not self._holds(number, lease):
            return Decision.PAUSE  # handed to someone else meanwhile: this execution is void
        rules, trial = self._stage.rules(number), self._trials[number]
        if trial.steps == 0 and (missing := rules.missing(report.metrics)) is not None:
            self._unreported(missing, list(report.metrics), "its first report")
            return Decision.PAUSE
        metrics = rules.taken(report.metrics)
        metric_log.append(self.folder.metrics(number), replace(report, metrics=metrics))
        value = rules.value(metrics)
        prune = value is not None and self._record.report(number, report.step, value)
        self._note(replace(trial, steps=report.step, metrics=metrics))
        if rules.has_diverged(metrics):
            return Decision.DIVERGE
        return Decision.PRUNE if prune else self._goes_on(number)

    @locked
    @writes(otherwise=False)
    def saved(self, number: int, lease: str, saved: Saved) -> bool:
        """Notes what a trial has saved in a store; false if it has gone to another worker."""
        self._hear(worker_of(lease))
        if not self._holds(number, lease):
            return False
        self._stage.checkpoints.note(number, saved)
        return True

    @locked
    @writes(otherwise=None)
    def said(self, number: int, lease: str, output: bytes) -> None:
        """Keeps what a trial has printed on a node that does not see the study's folder."""
        if self._holds(number, lease):
            append_bounded(self.folder.output(number), output, MAX_BYTES)

    @writes(otherwise=False)
    def store_lost(self, worker: str, lost: StoreLost) -> bool:
        """Takes a trial back from a worker that cannot use the store for checkpoints.

        The study stops if nobody else can either: without their checkpoints trials can neither
        begin nor end. One node that has lost its way to the store costs only its own work,
        and a trial whose checkpoint no worker gets there or back costs itself.

        Returns:
            Whether the worker waits until it can, and asks for a trial then.
        """
        with self.mutex:
            self._hear(worker)
            alone = not self._assignments.bar(worker)
        store = self._stage.checkpoints.store
        try:
            if store is not None and not alone:
                store.check()  # may take its time: others are not kept waiting for that
        except StoreLost as here:
            alone, lost = True, here
        with self.mutex:
            held = self._take_back(worker)
            if alone:
                hint = "mend that and run the study again: nothing that was recorded is lost"
                self.fail(StudyFailed(lost.message, f"{lost.hint}; {hint}" if lost.hint else hint))
                return False
            for number in held:
                self._count_loss(number, f"could not use the store ({lost.message})")
            if (node := self._assignments.node_of(worker)) is not None:
                with suppress(OSError):
                    line = f"node {node} waits for the store for checkpoints: {lost.message}\n"
                    append_bounded(self.folder.log, line.encode(), MAX_BYTES)
            return not self._over() and not self.progress().done

    @locked
    @writes(otherwise=None)
    def finish(self, number: int, lease: str, outcome: Outcome) -> None:
        """Records how a trial ended."""
        self._hear(worker_of(lease))
        if not self._holds(number, lease):
            return
        reports = metric_log.read(self.folder.metrics(number))
        ending = self._stage.rules(number).judge(outcome, reports)
        if ending.unknown is not None:
            self._unreported(ending.unknown, list(ending.outcome.metrics), "what it returned")
            return
        if ending.outcome.state is State.COMPLETE and self._overtime(number) > 0:
            ending = Ending(replace(TIMED_OUT, metrics=ending.outcome.metrics))
        if outcome.traceback:
            write_atomically(self.folder.traceback(number), outcome.traceback)
        self._close(number, ending.outcome, ending.values)

    # -- whoever places the workers -----------------------------------------------------------

    @locked
    def node_of(self, worker: str) -> str | None:
        """Where a worker runs, if that is known."""
        return self._assignments.node_of(worker)

    @locked
    @writes(otherwise=None)
    def worker_ended(self, worker: str, died: bool) -> None:
        """Takes back what a worker held. A trial that keeps killing its workers is given up.

        Args:
            died: by itself, and not with its node.
        """
        lost = self._take_back(worker)
        self._assignments.ended(worker)
        self._ledger.worker_ended(worker)
        if not died:
            return
        self._deaths += 1
        for number in lost:
            self._count_loss(number, "died")
        if not lost and self._deaths >= MAX_DEATHS:
            self.fail(
                StudyFailed(
                    f"{self._deaths} workers died, one after the other",
                    "run the study with --inline to see why",
                )
            )

    @locked
    @writes(otherwise=())
    def overdue(self, workers: Sequence[str]) -> tuple[str, ...]:
        """Workers to be killed: silent beyond their lease, or deaf to their trial's time limit.

        A silent worker's trial is taken back at once: what it may still report does not count.

        Args:
            workers: that have been started and not ended.
        """
        lease_seconds = self.study.file.resources.lease_seconds
        silent = self._assignments.silent(workers, lease_seconds)
        for worker in silent:
            self._assignments.condemn(worker)
            for number in self._take_back(worker):
                self._count_loss(number, "fell silent")
        for number, lease in self._assignments.leases():
            if self._overtime(number) > OVERTIME_SECONDS:
                self._assignments.condemn(worker_of(lease))
                self._close(number, TIMED_OUT, [])
                self._take_back(worker_of(lease))  # those beside it, which are not to blame
        self._assignments.end_claims()
        self._look_at_budget()
        return self._assignments.condemned

    @locked
    def limit_workers(self, most: int) -> None:
        """No more than so many workers get a trial from now on; at least 1.

        Those beyond are not interrupted: what a trial has not saved would be lost. They end with
        the trial that they hold.
        """
        self._most_workers = most

    @locked
    def work_left(self) -> bool:
        """Whether a new worker would get a trial now."""
        if self._over() or self._enough():
            return False
        return bool(self._assignments.waiting) or self._may_ask()

    @locked
    def finished(self) -> bool:
        """Whether no worker will be needed any more."""
        return self._stopping or self.progress().done

    # -- whoever runs the study ---------------------------------------------------------------

    @locked
    def stop(self) -> None:
        """Ends the run: no new trials, and those running pause at their next report."""
        self._stopping = True

    @locked
    def progress(self) -> Progress:
        left = self._assignments.open or self._may_ask()
        return Progress(
            stage=self._stage.name,
            total=self._stage.total,
            counts=dict(+self._counts),
            best=tuple(self._limits.best),
            started=self._started,
            finished_here=self._finished() - self._finished_before,
            done=not self._assignments.held and (bool(self._ended_by) or not left),
            stopping=self._stopping,
            failure=self._failure,
            spent=self._ledger.spent(),
            ended_by=self._ended_by,
            workers=self._assignments.workers,
            nodes=self._assignments.nodes,
            gpus=self._assignments.workers * self.study.file.resources.gpus,
        )

    @locked
    def changes(self, since: int) -> tuple[int, list[TrialRecord]]:
        """Trials changed since an earlier answer's number (0: all), and the number for next."""
        changed = []
        for number in reversed(self._changed):
            if self._changed[number] <= since:
                break
            changed.append(self._trials[number])
        return self._version, sorted(changed, key=lambda t: t.number)

    @locked
    def close(self) -> None:
        """Ends the writing of the record; may be called again. What is known can still be read."""
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
        self._stage.checkpoints.close()

    def fail(self, failure: HpoError) -> None:
        """Stops the study: it cannot go on."""
        self._failure = self._failure or failure
        self._stopping = True

    # -- inside -------------------------------------------------------------------------------

    @locked
    def _hand_out(self, worker: str) -> tuple[TrialSpec | None, Future[Proposal | None] | None]:
        """A trial that waits, or else the draw of a new one, or neither."""
        gone = not self._hear(worker)
        self._assignments.unbar(worker)
        self._take_back(worker)
        self._look_at_budget()
        if self._over() or gone or self._enough():
            return None, None
        if self._assignments.waiting:
            return self._lease_to(worker, self._assignments.waiting[0]), None
        return None, self._draws.next() if self._may_ask() else None

    @locked
    def _join(
        self, worker: str, held: Sequence[int], room: int
    ) -> tuple[list[TrialSpec], Future[Proposal | None] | None]:
        """Trials that wait and can join those that a worker holds, and, if room is left, the draw
        of another."""
        gone = not self._hear(worker)
        for number in self._assignments.take_back(worker, self._assignments.of(worker) - set(held)):
            self._ledger.trial_left(number)
        keys = {self._fusion_key(number) for number in self._assignments.of(worker)}
        if self._widest is not None:
            room = min(room, self._widest - len(held))
        surplus = self._assignments.busy > self._most_workers
        if self._over() or gone or surplus or room < 1 or len(keys) != 1 or None in keys:
            return [], None
        fit = [n for n in self._assignments.waiting if self._fusion_key(n) in keys][:room]
        specs = [self._lease_to(worker, number) for number in fit]
        waiting = len(self._assignments.waiting)
        crowded = waiting >= self._misfits * (len(held) + room)
        ahead = self._assignments.held + waiting >= self._ahead
        full = len(specs) == room or crowded or ahead
        return specs, None if full or not self._may_ask() else self._draws.next()

    def _fusion_key(self, number: int) -> str | None:
        """What a trial must have in common with others to train with them; `None`: it trains alone.

        One that was lost with its worker may be why that died, and takes no others along again.
        """
        if self._losses[number] or number in self._alone:
            return None
        if number not in self._fusion_keys:
            config, refit = self._trials[number].config, self._stage.refit(number)
            self._fusion_keys[number] = fusion_key(self.study.trainable, config, refit)
        return self._fusion_keys[number]

    @locked
    @writes(otherwise=False)
    def _open(self, drawn: Proposal, workers: int) -> bool:
        """Opens the trial that was drawn; it waits for whoever asks next.

        Args:
            workers: at work, whoever this is drawn for included.
        """
        if self._over():
            return False
        trial = self._draws.open(drawn, workers)
        self._note(trial)
        same = self._results.get(canonical(trial.config))
        if same is None:
            self._assignments.put(trial.number)
        else:
            self._answer(trial.number, self._trials[same])
        return True

    def _goes_on(self, number: int) -> Decision:
        """Whether a trial of which nothing else is to be said goes on."""
        if self._overtime(number) > 0:
            return Decision.TIME_OUT
        self._look_at_budget()
        self._note_spending()
        return Decision.PAUSE if self._stopping or self._ended_by else Decision.GO_ON

    def _answer(self, number: int, known: TrialRecord) -> None:
        """Gives a trial the result of another with the same config, without running it."""
        outcome = Outcome(known.state, known.metrics, f"same config as trial {known.number}")
        self._close(number, outcome, known.values, same_as=known.number)

    @locked
    def _draw_failed(self, error: Exception) -> None:
        if isinstance(error, HpoError):
            self.fail(error)
            return
        sampler = self.study.file.search.sampler
        self.fail(
            StudyFailed(
                f"the sampler {sampler} failed: {type(error).__name__}: {error}",
                "run the study again to continue it; if it fails again, begin one of another name"
                f" with another sampler and search.warm_start: [{self.study.name}]",
            )
        )

    def _lease_to(self, worker: str, number: int) -> TrialSpec:
        lease = self._assignments.hand_to(worker, number)
        self._ledger.trial_began(number, worker)
        stage = self._stage
        return TrialSpec(
            number,
            self._trials[number].config,
            stage.seed(number),
            lease,
            saved=stage.checkpoints.saved(number),
            refit=stage.refit(number),
        )

    def _may_ask(self) -> bool:
        asked = self._stage.asked
        return (asked is None or len(self._trials) < asked) and self._draws.has_next()

    def _enough(self) -> bool:
        """Whether there are as many workers at work as there may be."""
        return self._assignments.busy >= self._most_workers

    def _over(self) -> bool:
        return self._stopping or bool(self._ended_by)

    def _finished(self) -> int:
        return len(self._trials) - self._counts[State.RUNNING]

    def _note_spending(self) -> None:
        """Makes durable now and then what was spent; the end of a trial does so anyway."""
        if time.monotonic() - self._spent_at > SPENT_SECONDS:
            self._spent_at = time.monotonic()
            self._record.spend(self._ledger.spent())

    def _look_at_budget(self) -> None:
        self._ended_by = self._ended_by or self._limits.reached(self._ledger.spent())

    def _overtime(self, number: int) -> float:
        """Seconds by which a trial is over its time limit; negative or 0 if it is not."""
        limit = self._stage.budget.trial_seconds
        return -math.inf if limit is None else self._ledger.running_for(number) - limit

    def _hear(self, worker: str) -> bool:
        """False for a worker that has ended: what it asked for must not be handed to it."""
        heard = self._assignments.hear(worker)
        if heard:
            self._ledger.worker_seen(worker)
        return heard

    def _holds(self, number: int, lease: str) -> bool:
        """Whether a result may be taken from this lease.

        After a restart of this process nothing is known of leases: the first to speak for a trial
        holds it.
        """
        trial = self._trials.get(number)
        if trial is None or trial.state is not State.RUNNING:
            return False
        holds = self._assignments.holds(number, lease)
        if holds:
            self._ledger.trial_began(number, worker_of(lease))
        return holds

    def _take_back(self, worker: str) -> list[int]:
        held = self._assignments.take_back(worker, self._assignments.of(worker))
        for number in held:
            self._ledger.trial_left(number)
        return held

    def _count_loss(self, number: int, how: str) -> None:
        """Gives up a trial that waits, if it has cost too many workers."""
        self._losses[number] += 1
        if self._losses[number] >= MAX_LOSSES:
            reason = f"its worker {how} {MAX_LOSSES} times while running it"
            self._close(number, Outcome(State.FAILED, {}, reason), [])

    def _close(
        self,
        number: int,
        outcome: Outcome,
        values: Sequence[float],
        same_as: int | None = None,
    ) -> None:
        self._assignments.drop(number)
        self._fusion_keys.pop(number, None)
        self._alone.discard(number)
        self._deaths = 0
        seconds = self._ledger.trial_ended(number, outcome.state)
        trial = self._record.finish(number, outcome, values, seconds, same_as, self._ledger.spent())
        self._note(trial)
        self._draws.ended(number)
        if self.study.trainable.deterministic and trial.state in _ANSWERS:
            self._results.setdefault(canonical(trial.config), number)
        for old in (*self._limits.ended(trial), trial):
            if not self._keeps(old):
                self._stage.checkpoints.drop(old.number)
        why = self._limits.failing()
        if why is not None:
            traceback = self.folder.traceback(number)
            hint = f"its traceback is in {traceback}; " if traceback.exists() else ""
            self.fail(StudyFailed(why, f"{hint}mend that and run the study again to continue it"))

    def _keeps(self, trial: TrialRecord) -> bool:
        """Whether what an ended trial saved is of any use: for most only until they end."""
        if self._stage.keeps_all:
            return trial.state is State.COMPLETE
        return trial in self._limits.best

    def _note(self, trial: TrialRecord) -> None:
        self._version += 1
        before = self._trials.get(trial.number)
        if before is not None:
            self._counts[before.state] -= 1
        self._counts[trial.state] += 1
        self._trials[trial.number] = trial
        self._changed[trial.number] = self._version
        self._changed.move_to_end(trial.number)

    def _unreported(self, metric: str, names: list[str], where: str) -> None:
        known = ", ".join(sorted(names)) or "nothing"
        self.fail(
            InputError(
                f"objective.metric is {metric!r}, but in {where} the trainable has: {known}"
                + did_you_mean(metric, names),
                "set objective.metric to one of them, or report it",
            )
        )


_ANSWERS = (State.COMPLETE, State.DIVERGED)
"""What a deterministic trainable would come to again. A trial that was pruned was so because of
others, one that failed or was out of memory perhaps because of the machine."""
