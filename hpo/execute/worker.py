"""A worker: pulls trials and runs them until none are left. The same in every kind of execution."""

from __future__ import annotations

import traceback as tracebacks
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hpo.home import StudyFolder
from hpo.records import Decision, Outcome, Report, State, TrialSpec
from hpo.trainable import Trainable, Trial, TrialStopped, check_metrics


class Channel(Protocol):
    """A worker's side of the coordinator. Every call may be repeated without harm."""

    def next_trial(self, worker: str) -> TrialSpec | None:
        """A trial for this worker, which by asking says that it runs none; `None`: none is left."""

    def report(self, number: int, lease: str, report: Report) -> Decision: ...

    def finish(self, number: int, lease: str, outcome: Outcome) -> None: ...


@dataclass(frozen=True, slots=True)
class Setup:
    """What every worker of a study must know.

    Args:
        trainable: as the study file names it.
        folder: of the study file.
        study: where checkpoints go.
        isolate: one trial a process.
        capture: what a trial prints goes to a file in its folder; for processes without a terminal.
    """

    trainable: str
    folder: Path
    study: StudyFolder
    isolate: bool = False
    capture: bool = False


def work(setup: Setup, trainable: Trainable, channel: Channel, worker: str) -> None:
    """Runs trials until none are left, or just one in an isolated worker."""
    while spec := channel.next_trial(worker):
        with _output(setup, spec.number):
            outcome = run_trial(setup, trainable, spec, channel)
        if outcome is not None:
            channel.finish(spec.number, spec.lease, outcome)
        if setup.isolate:
            return


def run_trial(
    setup: Setup, trainable: Trainable, spec: TrialSpec, channel: Channel
) -> Outcome | None:
    """Runs one trial to its outcome; `None` if it was paused and will go on later.

    Whatever the trainable raises becomes an outcome: a bad config must not cost a worker.
    """

    def report(report: Report) -> Decision:
        return channel.report(spec.number, spec.lease, report)

    trial = Trial(spec, setup.folder, setup.study.checkpoint(spec.number), report)
    try:
        config = dict(spec.config)
        if trainable.config_type is not None:
            config = trainable.config_type.model_validate(config)
        returned = trainable.run(config, trial)
        return Outcome(State.COMPLETE, {} if returned is None else check_metrics(returned))
    except TrialStopped as stopped:
        return _STOPPED[stopped.decision]()
    except Exception as error:
        state = State.OUT_OF_MEMORY if _is_out_of_memory(error) else State.FAILED
        reason = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        return Outcome(state, {}, reason[:500], "".join(tracebacks.format_exception(error)))


@contextmanager
def _output(setup: Setup, number: int) -> Iterator[None]:
    if not setup.capture:
        yield
        return
    path = setup.study.output(number)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Line by line: what a trial said before it took its process down is what one wants to read.
    with path.open("a", buffering=1) as file, redirect_stdout(file), redirect_stderr(file):
        yield


_STOPPED: dict[Decision, Callable[[], Outcome | None]] = {
    Decision.PRUNE: lambda: Outcome(State.PRUNED, {}, "stopped by the pruner"),
    Decision.DIVERGE: lambda: Outcome(State.DIVERGED, {}, "a loss or the objective was not finite"),
    Decision.PAUSE: lambda: None,
}


def _is_out_of_memory(error: Exception) -> bool:
    """Host or device memory. CUDA's error is known by its name: torch may not be loaded."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
