"""One execution of one trial: from its checkpoint folder to its outcome."""

from __future__ import annotations

import traceback as tracebacks
from asyncio import CancelledError
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from hpo.execute.channel import Channel, ChannelLost
from hpo.execute.setup import Setup
from hpo.records import TIMED_OUT, Decision, Outcome, Report, Saved, State, TrialSpec
from hpo.space import typed
from hpo.trainable import Trainable, Trial, TrialStopped, check_metrics

PAUSE_PATIENCE_S = 60.0
"""How long a store may be away when a trial pauses; somebody waits for the study to stop."""

END_PATIENCE_S = 600.0
"""How long a store may be away when a trial is complete; all its work would be lost."""

RAISED = (Exception, SystemExit, CancelledError)
"""What is the trainable's own affair."""


class Execution:
    """A trial on this worker. Use as a context manager: it holds the checkpoint folder.

    Raises:
        StoreLost: the store does not give the checkpoint.
    """

    def __init__(
        self, setup: Setup, trainable: Trainable, spec: TrialSpec, channel: Channel
    ) -> None:
        self.spec = spec
        self._setup = setup
        self._trainable = trainable
        self._channel = channel
        self._open = ExitStack()
        self._working = self._open.enter_context(setup.checkpoints.open(spec, self._note))
        self.trial = Trial(spec, setup.folder, self._working.folder, self._report)

    def __enter__(self) -> Execution:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open.__exit__(kind, error, traceback)

    @property
    def config(self) -> Any:
        """What the trainable is given."""
        return typed(self._trainable.config_type, dict(self.spec.config))

    def run(self) -> Outcome | None:
        """Runs the trial alone; `None` if it was paused and will go on later.

        Whatever the trainable raises becomes an outcome: a bad config must not cost a worker.
        """
        try:
            returned = self._trainable.run(self.config, self.trial)
            if self.trial.stopped is not None:  # code that catches everything caught this, too
                return stopped(self.trial.stopped)
            return complete(returned)
        except TrialStopped as told:
            return stopped(told.decision)
        except RAISED as error:
            return failed(error)

    def decided(self, decision: Decision) -> None:
        """Hears what a report has led to."""
        if decision is Decision.GO_ON:  # otherwise it is saved when the trainable has returned
            self._working.save_if_due()
        else:
            self.trial.stopped = decision

    def end(self, outcome: Outcome | None) -> None:
        """Saves what is worth it and hands in the outcome, if there is one.

        Raises:
            ChannelLost: the coordinator did not answer.
            StoreLost: it could not be saved.
        """
        if outcome is None:
            self._working.save(PAUSE_PATIENCE_S)
            return
        if outcome.state is State.COMPLETE:
            self._working.save(END_PATIENCE_S)
        try:
            self._channel.finish(self.spec.number, self.spec.lease, outcome)
        except Exception as error:
            raise ChannelLost from error

    def _report(self, report: Report) -> Decision:
        try:
            decision = self._channel.report(self.spec.number, self.spec.lease, report)
        except Exception as error:
            raise ChannelLost from error
        if decision is Decision.GO_ON:
            self._working.save_if_due()
        return decision

    def _note(self, saved: Saved) -> bool:
        try:
            return self._channel.saved(self.spec.number, self.spec.lease, saved)
        except Exception as error:
            raise ChannelLost from error


def complete(returned: Mapping[str, float] | None) -> Outcome:
    """
    Raises:
        HpoError: what the trainable returned are no metrics.
    """
    return Outcome(State.COMPLETE, {} if returned is None else check_metrics(returned))


def stopped(decision: Decision) -> Outcome | None:
    """The outcome of a trial that was told to stop; `None` if it will go on later."""
    return _STOPPED[decision]()


def failed(error: BaseException) -> Outcome:
    """The outcome of a trial that has raised something."""
    state = State.OUT_OF_MEMORY if is_out_of_memory(error) else State.FAILED
    traceback = "".join(tracebacks.format_exception(error))
    return Outcome(state, {}, _writable(_one_line(error)), _writable(traceback))


_STOPPED: dict[Decision, Callable[[], Outcome | None]] = {
    Decision.PRUNE: lambda: Outcome(State.PRUNED, {}, "stopped by the pruner"),
    Decision.DIVERGE: lambda: Outcome(State.DIVERGED, {}, "a loss or the objective was not finite"),
    Decision.TIME_OUT: lambda: TIMED_OUT,
    Decision.PAUSE: lambda: None,
}


def is_out_of_memory(error: BaseException) -> bool:
    """Host or device memory. torch may not be loaded: its errors are known by name and words."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and "DefaultCPUAllocator: " in str(error))
    )


def _one_line(error: BaseException) -> str:
    try:
        said = str(error).strip()
    except Exception:  # exceptions are user code, too
        said = "(its text cannot be read)"
    return f"{type(error).__name__}: {said}".splitlines()[0][:500]


def _writable(text: str) -> str:
    """Without the surrogates that stand for bytes of file names that are not UTF-8."""
    return text.encode(errors="backslashreplace").decode()
