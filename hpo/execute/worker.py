"""A worker: pulls trials and runs them until none are left. The same in every kind of execution."""

from __future__ import annotations

import os
import time
import traceback as tracebacks
from asyncio import CancelledError
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hpo.checkpoints import Checkpoints, StoreLost, Working
from hpo.execute import memory, output
from hpo.execute.periodically import periodically
from hpo.home import StudyFolder
from hpo.records import TIMED_OUT, Decision, Outcome, Report, Saved, State, TrialSpec
from hpo.space import typed
from hpo.trainable import Trainable, Trial, TrialStopped, check_metrics


class Channel(Protocol):
    """A worker's side of the coordinator. All calls but `said` may be repeated without
    harm."""

    def began(self, worker: str, node: str) -> None:
        """A worker has begun on some node."""

    def next_trial(self, worker: str) -> TrialSpec | None:
        """A trial for this worker, which by asking says that it runs none; `None`: none is left."""

    def alive(self, worker: str, number: int | None, lease: str) -> None:
        """A sign of life, with the trial that the worker holds, if any."""

    def report(self, number: int, lease: str, report: Report) -> Decision: ...

    def saved(self, number: int, lease: str, saved: Saved) -> bool:
        """Notes what a trial has saved in a store; false if it has gone to another worker."""

    def said(self, number: int, lease: str, output: bytes) -> None:
        """Keeps what a trial has printed on a node that does not see the study's folder."""

    def store_lost(self, worker: str, lost: StoreLost) -> bool:
        """Takes a trial back from a worker that cannot use the store for checkpoints; whether it
        waits until it can."""

    def finish(self, number: int, lease: str, outcome: Outcome) -> None: ...


class Supervised(Channel, Protocol):
    """The coordinator as the one who places workers sees it."""

    def work_left(self) -> bool:
        """Whether a new worker would get a trial now."""

    def finished(self) -> bool:
        """Whether no worker will be needed any more."""

    def node_of(self, worker: str) -> str | None:
        """Where a worker runs, if that is known."""

    def worker_ended(self, worker: str, died: bool) -> None:
        """Takes back what the worker held."""

    def limit_workers(self, most: int) -> None:
        """No more than so many workers get a trial from now on."""

    def overdue(self, workers: Sequence[str]) -> tuple[str, ...]:
        """Which of these workers are to be killed."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What every worker of a study must know.

    Args:
        trainable: as the study file names it.
        folder: of the study file.
        study: the study's folder, on the machine that has the record.
        checkpoints: what its trials have saved.
        sees_study: whether this worker is on that machine.
        isolate: one trial a process.
        capture: what a trial prints goes to a file in its folder; for processes without a terminal.
        heartbeat_seconds: between two signs of life; `None` where there is nobody to watch.
        memory_limit: share of the machine's memory at which the largest worker ends; 1: never.
    """

    trainable: str
    folder: Path
    study: StudyFolder
    checkpoints: Checkpoints
    sees_study: bool = True
    isolate: bool = False
    capture: bool = False
    heartbeat_seconds: float | None = None
    memory_limit: float = 1.0


PAUSE_PATIENCE_S = 60.0
"""How long a store may be away when a trial pauses; somebody waits for the study to stop."""

STORE_LOOK_S = 10.0
"""Between two looks of a worker that waits for the store."""

END_PATIENCE_S = 600.0
"""How long a store may be away when a trial is complete; all its work would be lost."""


class ChannelLost(BaseException):
    """The coordinator could not be reached; not an `Exception`, so that user code lets it pass."""


def work(setup: Setup, trainable: Trainable, channel: Channel, worker: str) -> None:
    """Runs trials until none are left, or just one in an isolated worker."""
    held: list[TrialSpec] = []
    with _heartbeat(setup, channel, worker, held), _memory(setup, channel, held):
        while spec := channel.next_trial(worker):
            held[:] = [spec]
            try:
                with _output(setup, spec, channel):
                    outcome = run_trial(setup, trainable, spec, channel)
            except StoreLost as lost:
                held.clear()
                _wait_for_store(setup, channel, worker, lost)
            else:
                if outcome is not None:
                    channel.finish(spec.number, spec.lease, outcome)
                held.clear()
            if setup.isolate:
                return


def _wait_for_store(setup: Setup, channel: Channel, worker: str, lost: StoreLost) -> None:
    """Returns when the store can be used from here again, or nothing is left to do with it.

    A worker that ended instead would be replaced by another on the same node, over and over.
    """
    store = setup.checkpoints.store
    assert store is not None, "what is in the study's folder does not get lost"
    while channel.store_lost(worker, lost):
        time.sleep(STORE_LOOK_S)
        try:
            store.check()
        except StoreLost as still:
            lost = still
        else:
            return


def run_trial(
    setup: Setup, trainable: Trainable, spec: TrialSpec, channel: Channel
) -> Outcome | None:
    """Runs one trial to its outcome; `None` if it was paused and will go on later.

    Whatever the trainable raises becomes an outcome: a bad config must not cost a worker.

    Raises:
        ChannelLost: the coordinator did not answer; that is no outcome, the trial runs again.
        StoreLost: the same for the store for checkpoints.
    """

    def note(saved: Saved) -> bool:
        try:
            return channel.saved(spec.number, spec.lease, saved)
        except Exception as error:
            raise ChannelLost from error

    with setup.checkpoints.open(spec, note) as working:
        outcome = _run(setup, trainable, spec, channel, working)
        if outcome is None:
            working.save(PAUSE_PATIENCE_S)
        elif outcome.state is State.COMPLETE:
            working.save(END_PATIENCE_S)
        return outcome


def _run(
    setup: Setup, trainable: Trainable, spec: TrialSpec, channel: Channel, working: Working
) -> Outcome | None:
    def report(report: Report) -> Decision:
        try:
            decision = channel.report(spec.number, spec.lease, report)
        except Exception as error:
            raise ChannelLost from error
        if decision is Decision.GO_ON:  # otherwise it is saved when the trainable has returned
            working.save_if_due()
        return decision

    trial = Trial(spec, setup.folder, working.folder, report)
    try:
        returned = trainable.run(typed(trainable.config_type, dict(spec.config)), trial)
        if trial.stopped is not None:  # code that catches everything caught this, too
            return _STOPPED[trial.stopped]()
        return Outcome(State.COMPLETE, {} if returned is None else check_metrics(returned))
    except TrialStopped as stopped:
        return _STOPPED[stopped.decision]()
    except (Exception, SystemExit, CancelledError) as error:
        state = State.OUT_OF_MEMORY if _is_out_of_memory(error) else State.FAILED
        traceback = "".join(tracebacks.format_exception(error))
        return Outcome(state, {}, _writable(_one_line(error)), _writable(traceback))


@contextmanager
def _heartbeat(
    setup: Setup, channel: Channel, worker: str, held: Sequence[TrialSpec]
) -> Iterator[None]:
    """Gives signs of life, with the trial that the worker holds: a step may take long."""

    def beat() -> None:
        spec = next(iter(held), None)
        channel.alive(worker, spec.number if spec else None, spec.lease if spec else "")

    with periodically(beat, setup.heartbeat_seconds):
        yield


@contextmanager
def _memory(setup: Setup, channel: Channel, held: Sequence[TrialSpec]) -> Iterator[None]:
    """Ends the trial and this process when the machine's memory is full and this one has most."""

    def look() -> None:
        spec, share = next(iter(held), None), memory.share_in_use()
        if spec is None or share < setup.memory_limit or not memory.is_largest():
            return
        reason = (
            f"{share:.0%} of the machine's memory were in use, most of it by this trial's worker"
        )
        channel.finish(spec.number, spec.lease, Outcome(State.OUT_OF_MEMORY, {}, reason))
        if spec in held:
            os._exit(1)

    with periodically(look, memory.LOOK_SECONDS if setup.memory_limit < 1 else None):
        yield


def _output(setup: Setup, spec: TrialSpec, channel: Channel) -> AbstractContextManager[None]:
    """Has what the trial prints kept in its folder."""
    if not setup.capture:
        return nullcontext()
    if setup.sees_study:
        return output.to_file(setup.study.output(spec.number))
    return output.sent(lambda said: channel.said(spec.number, spec.lease, said))


_STOPPED: dict[Decision, Callable[[], Outcome | None]] = {
    Decision.PRUNE: lambda: Outcome(State.PRUNED, {}, "stopped by the pruner"),
    Decision.DIVERGE: lambda: Outcome(State.DIVERGED, {}, "a loss or the objective was not finite"),
    Decision.TIME_OUT: lambda: TIMED_OUT,
    Decision.PAUSE: lambda: None,
}


def _one_line(error: BaseException) -> str:
    try:
        said = str(error).strip()
    except Exception:  # exceptions are user code, too
        said = "(its text cannot be read)"
    return f"{type(error).__name__}: {said}".splitlines()[0][:500]


def _writable(text: str) -> str:
    """Without the surrogates that stand for bytes of file names that are not UTF-8."""
    return text.encode(errors="backslashreplace").decode()


def _is_out_of_memory(error: BaseException) -> bool:
    """Host or device memory. torch may not be loaded: its errors are known by name and words."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and "DefaultCPUAllocator: " in str(error))
    )
