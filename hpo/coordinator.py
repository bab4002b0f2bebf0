"""The coordinator: hands out trials, takes reports, decides, records.

One plain class. Inline runs call it directly; under Ray it is an actor. It alone writes the record,
and everything it knows beside the record (who runs what) can be lost: workers that hold a trial it
does not know of are taken at their word, trials that nobody holds run again.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace

from hpo import failures, metric_log
from hpo.assignments import worker_of
from hpo.checkpoints import StoreLost
from hpo.crew import Crew
from hpo.endings import Ending
from hpo.errors import HpoError
from hpo.execute.output import MAX_BYTES
from hpo.files import append_bounded, write_atomically
from hpo.guards import locked, writes
from hpo.ledger import Ledger
from hpo.limits import Limits
from hpo.lock import FileLock
from hpo.losses import MAX_LOSSES, Losses
from hpo.packing import DRAWS_A_LANE, Packing
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
)
from hpo.search.samplers import Proposal
from hpo.stage import Stage
from hpo.trials import Trials

PREDECESSOR_SECONDS = 20.0
"""How long the writer before, whose run was killed, may take to be gone."""

SPENT_SECONDS = 60.0
"""Between two notes of what was spent, while trials run."""

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
        self._trials = Trials(self._record.trials(), self.study.trainable.deterministic)
        self._limits = Limits(self._stage.budget, self.study.objectives, self._trials)
        self._crew = Crew(
            self._ledger,
            [trial.number for trial in self._trials if trial.state is State.RUNNING],
            claim_seconds=3 * file.resources.heartbeat_seconds if again else 0.0,
        )
        auto = file.resources.pack == "auto"
        self._packing = Packing(
            self._crew,
            lambda number: self._stage.fusion_key(self._trials[number]),
            learns=self._stage.learns,
            total=(self._stage.total or 0) if auto else None,
        )
        self._losses = Losses()
        self._most_workers: float = math.inf
        self._stopping = False
        self._closed = False
        self._spent_at = time.monotonic()
        self._failure: HpoError | None = None
        self._ended_by = self._limits.reached(self._ledger.spent())
        self._started = time.time()
        self._ended_before = self._trials.ended
        for trial in self._trials:  # a crash may have left what is of no use
            if trial.state is not State.RUNNING:
                self._drop_if_useless(trial)

    # -- workers ------------------------------------------------------------------------------

    @locked
    def began(self, worker: str, node: str) -> None:
        """A worker has begun on some node."""
        self._crew.began(worker, node)

    def next_trial(self, worker: str) -> TrialSpec | None:
        """A trial for a worker that runs none; `None` when none is left, the study stops, or there
        are workers enough."""
        with self._asking:
            while True:
                spec, draw = self._hand_out(worker)
                if draw is None:
                    return spec
                if not self._drawn(draw, self._crew.busy + 1):
                    return None

    def more(self, worker: str, held: Sequence[int], room: int, fewest: int = 0) -> list[TrialSpec]:
        """Trials that can train together with those that the worker holds, at most `room`; none if
        there are not even `fewest`.

        They are those that come next in any case. Of what is drawn on the way, what does not fit,
        or is not enough, waits for another pack or worker. What the worker does not name it does
        not run: it has not heard an earlier answer.
        """
        with self._asking:
            for _ in range(DRAWS_A_LANE * room):
                draw = self._draw_to_join(worker, held, room, fewest)
                if draw is None or not self._drawn(draw, self._crew.busy):
                    break
            return self._join(worker, held, room, fewest)

    @locked
    def give_back(self, worker: str, numbers: Sequence[int], alone: bool) -> None:
        """The worker runs these no more, and nobody is to blame; `alone`: each runs by itself."""
        self._crew.hear(worker)
        for number in self._crew.take_back(worker, numbers):
            if alone:
                self._packing.alone(number)

    @locked
    def alive(self, worker: str, held: Sequence[tuple[int, str]]) -> None:
        """A sign of life, with the trials that the worker holds and their leases."""
        self._crew.hear(worker)
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
        self._packing.too_wide(lanes)
        self._crew.take_back(worker)
        self._losses.recovered()

    @locked
    @writes(otherwise=Decision.PAUSE)
    def report(self, number: int, lease: str, report: Report) -> Decision:
        """Records metrics at one step and decides whether the trial goes on."""
        self._crew.hear(worker_of(lease))
        if not self._holds(number, lease):
            return Decision.PAUSE  # handed to someone else meanwhile: this execution is void
        rules, trial = self._stage.rules(number), self._trials[number]
        if trial.steps == 0 and (missing := rules.missing(report.metrics)) is not None:
            self.fail(failures.unreported(missing, report.metrics, "its first report"))
            return Decision.PAUSE
        metrics = rules.taken(report.metrics)
        metric_log.append(self.folder.metrics(number), replace(report, metrics=metrics))
        value = rules.value(metrics)
        prune = value is not None and self._record.report(number, report.step, value)
        self._trials.note(replace(trial, steps=report.step, metrics=metrics))
        if rules.has_diverged(metrics):
            return Decision.DIVERGE
        return Decision.PRUNE if prune else self._goes_on(number)

    @locked
    @writes(otherwise=False)
    def saved(self, number: int, lease: str, saved: Saved) -> bool:
        """Notes what a trial has saved in a store; false if it has gone to another worker."""
        self._crew.hear(worker_of(lease))
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
            self._crew.hear(worker)
            alone = not self._crew.bar(worker)
        store = self._stage.checkpoints.store
        try:
            if store is not None and not alone:
                store.check()  # may take its time: others are not kept waiting for that
        except StoreLost as here:
            alone, lost = True, here
        with self.mutex:
            held = self._crew.take_back(worker)
            if alone:
                self.fail(failures.nobody_has_the_store(lost))
                return False
            for number in held:
                self._count_loss(number, f"could not use the store ({lost.message})")
            if (node := self._crew.node_of(worker)) is not None:
                with suppress(OSError):
                    line = f"node {node} waits for the store for checkpoints: {lost.message}\n"
                    append_bounded(self.folder.log, line.encode(), MAX_BYTES)
            return not self._over() and not self.progress().done

    @locked
    @writes(otherwise=None)
    def finish(self, number: int, lease: str, outcome: Outcome) -> None:
        """Records how a trial ended."""
        self._crew.hear(worker_of(lease))
        if not self._holds(number, lease):
            return
        reports = metric_log.read(self.folder.metrics(number))
        ending = self._stage.rules(number).judge(outcome, reports)
        if ending.unknown is not None:
            metrics = ending.outcome.metrics
            self.fail(failures.unreported(ending.unknown, metrics, "what it returned"))
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
        return self._crew.node_of(worker)

    @locked
    @writes(otherwise=None)
    def worker_ended(self, worker: str, died: bool) -> None:
        """Takes back what a worker held. A trial that keeps killing its workers is given up.

        Args:
            died: by itself, and not with its node.
        """
        lost = self._crew.take_back(worker)
        self._crew.ended(worker)
        if not died:
            return
        nobody_gets_far = self._losses.died()
        for number in lost:
            self._count_loss(number, "died")
        if nobody_gets_far and not lost:
            self.fail(failures.workers_died(self._losses.deaths))

    @locked
    @writes(otherwise=())
    def overdue(self, workers: Sequence[str]) -> tuple[str, ...]:
        """Workers to be killed: silent beyond their lease, or deaf to their trial's time limit.

        A silent worker's trial is taken back at once: what it may still report does not count.

        Args:
            workers: that have been started and not ended.
        """
        lease_seconds = self.study.file.resources.lease_seconds
        silent = self._crew.silent(workers, lease_seconds)
        for worker in silent:
            self._crew.condemn(worker)
            for number in self._crew.take_back(worker):
                self._count_loss(number, "fell silent")
        for number, lease in self._crew.leases():
            if self._overtime(number) > OVERTIME_SECONDS:
                self._crew.condemn(worker_of(lease))
                self._close(number, TIMED_OUT, [])
                self._crew.take_back(worker_of(lease))  # those beside it, which are not to blame
        self._crew.end_claims()
        self._look_at_budget()
        return self._crew.condemned

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
        return bool(self._crew.waiting) or self._may_ask()

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
        left = self._crew.open or self._may_ask()
        return Progress(
            stage=self._stage.name,
            total=self._stage.total,
            counts=self._trials.counts,
            best=tuple(self._limits.best),
            started=self._started,
            finished_here=self._trials.ended - self._ended_before,
            done=not self._crew.held and (bool(self._ended_by) or not left),
            stopping=self._stopping,
            failure=self._failure,
            spent=self._ledger.spent(),
            ended_by=self._ended_by,
            workers=self._crew.workers,
            nodes=self._crew.nodes,
            gpus=self._crew.workers * self.study.file.resources.gpus,
        )

    @locked
    def changes(self, since: int) -> tuple[int, list[TrialRecord]]:
        """Trials changed since an earlier answer's number (0: all), and the number for next."""
        return self._trials.changes(since)

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
        gone = not self._crew.hear(worker)
        self._crew.unbar(worker)
        self._crew.take_back(worker)
        self._look_at_budget()
        if self._over() or gone or self._enough():
            return None, None
        if self._crew.waiting:
            return self._lease_to(worker, self._crew.waiting[0]), None
        return None, self._draws.next() if self._may_ask() else None

    @locked
    def _draw_to_join(
        self, worker: str, held: Sequence[int], room: int, fewest: int
    ) -> Future[Proposal | None] | None:
        """The draw of another trial for those that a worker holds, if that is of use."""
        wanted = self._packing.wants(worker, self._room(worker, held, room), fewest)
        return self._draws.next() if wanted and self._may_ask() else None

    @locked
    def _join(self, worker: str, held: Sequence[int], room: int, fewest: int) -> list[TrialSpec]:
        """Trials that wait and can join those that a worker holds."""
        fit = self._packing.fitting(worker, self._room(worker, held, room), fewest)
        return [self._lease_to(worker, number) for number in fit]

    def _room(self, worker: str, held: Sequence[int], room: int) -> int:
        """For how many more a worker has room, which may get none."""
        gone = not self._crew.hear(worker)
        self._crew.take_back(worker, self._crew.of(worker) - set(held))
        surplus = self._crew.busy > self._most_workers
        return 0 if self._over() or gone or surplus else room

    def _drawn(self, draw: Future[Proposal | None], workers: int) -> bool:
        """Waits for a draw and opens its trial; false if there is none.

        Args:
            workers: at work, whoever this is drawn for included.
        """
        try:
            drawn = draw.result()
        except Exception as error:
            sampler = self.study.file.search.sampler
            with self.mutex:
                self.fail(failures.sampler_failed(self.study.name, sampler, error))
            return False
        return drawn is not None and self._open(drawn, workers)

    @locked
    @writes(otherwise=False)
    def _open(self, drawn: Proposal, workers: int) -> bool:
        """Opens the trial that was drawn; it waits for whoever asks next."""
        if self._over():
            return False
        trial = self._draws.open(drawn, workers)
        self._trials.note(trial)
        known = self._trials.answer(trial.config)
        if known is None:
            self._crew.put(trial.number)
        else:
            outcome = Outcome(known.state, known.metrics, f"same config as trial {known.number}")
            self._close(trial.number, outcome, known.values, same_as=known.number)
        return True

    def _goes_on(self, number: int) -> Decision:
        """Whether a trial of which nothing else is to be said goes on."""
        if self._overtime(number) > 0:
            return Decision.TIME_OUT
        self._look_at_budget()
        self._note_spending()
        return Decision.PAUSE if self._stopping or self._ended_by else Decision.GO_ON

    def _lease_to(self, worker: str, number: int) -> TrialSpec:
        return self._stage.spec(self._trials[number], self._crew.hand_to(worker, number))

    def _may_ask(self) -> bool:
        return self._stage.has_next(len(self._trials))

    def _enough(self) -> bool:
        """Whether there are as many workers at work as there may be."""
        return self._crew.busy >= self._most_workers

    def _over(self) -> bool:
        return self._stopping or bool(self._ended_by)

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

    def _holds(self, number: int, lease: str) -> bool:
        """Whether a result may be taken from this lease."""
        return self._trials.runs(number) and self._crew.holds(number, lease)

    def _count_loss(self, number: int, how: str) -> None:
        """Gives up a trial that waits, if it has cost too many workers; else it takes no others
        along again, since it may be why its worker was lost."""
        self._packing.alone(number)
        if self._losses.lost(number):
            reason = f"its worker {how} {MAX_LOSSES} times while running it"
            self._close(number, Outcome(State.FAILED, {}, reason), [])

    def _close(
        self,
        number: int,
        outcome: Outcome,
        values: Sequence[float],
        same_as: int | None = None,
    ) -> None:
        self._crew.drop(number)
        self._packing.ended(number)
        self._losses.recovered()
        seconds = self._ledger.trial_ended(number, outcome.state)
        trial = self._record.finish(number, outcome, values, seconds, same_as, self._ledger.spent())
        self._trials.note(trial)
        self._draws.ended(number)
        for old in (*self._limits.ended(trial), trial):
            self._drop_if_useless(old)
        why = self._limits.failing()
        if why is not None:
            self.fail(failures.trials_failed(why, self.folder.traceback(number)))

    def _drop_if_useless(self, trial: TrialRecord) -> None:
        """Drops what a trial that has ended saved, unless that is of use."""
        if not self._stage.keeps(trial, self._limits.best):
            self._stage.checkpoints.drop(trial.number)
