"""The faults: each runs a study until some random moment, and does something to it there."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from execution import NAME, TIMEOUT_SECONDS, TRIALS, Execution, Seen, ended
from mlflow_server import MlflowServer

from hpo.lock import is_held

LEASE_SECONDS = 2


@dataclass(frozen=True)
class Struck:
    """What a fault has done.

    Args:
        before: what the record had when it struck.
        at: when that was, or, if a server was away, when it was back; monotonic seconds.
        tracker: whether it was about the tracker and nothing else.
        problems: what went wrong already.
    """

    before: Seen
    at: float
    tracker: bool = False
    problems: list[str] = field(default_factory=list)


def run_killed(study: Execution) -> Struck:
    process = study.begin()
    study.random_moment()
    before, at = study.seen(), time.monotonic()
    _send(signal.SIGKILL, -process.pid)
    study.wait()
    return Struck(before, at)


def coordinator_killed(study: Execution) -> Struck:
    study.begin()
    study.some_trial_runs()
    before, at = study.seen(), time.monotonic()
    _send(signal.SIGKILL, study.coordinator())
    return Struck(before, at, problems=_ends_well(study))


def worker_killed(study: Execution) -> Struck:
    study.begin()
    study.some_trial_runs()
    before, at = study.seen(), time.monotonic()
    _send(signal.SIGKILL, study.worker())
    return Struck(before, at, problems=_ends_well(study))


def worker_stopped(study: Execution) -> Struck:
    """The worker comes back to life when its trial has gone to another."""
    study.begin()
    study.some_trial_runs()
    worker = study.worker()
    before, at = study.seen(), time.monotonic()
    _send(signal.SIGSTOP, worker)
    time.sleep(LEASE_SECONDS + study.rng.uniform(1, 6))
    _send(signal.SIGCONT, worker)
    return Struck(before, at, problems=_ends_well(study))


def sampler_raises(study: Execution) -> Struck:
    marker = study.folder / "raised"
    study.begin(HPO_FAULT_SAMPLER=f"{study.rng.randint(1, TRIALS)}:{marker}")
    study.until(marker.exists, "the sampler does not raise")
    before, at = study.seen(), time.monotonic()
    study.wait()
    return Struck(before, at, problems=[] if marker.exists() else ["the sampler did not raise"])


def clock_set_back(study: Execution) -> Struck:
    at = time.monotonic() + study.rng.uniform(2, 8)
    process = study.begin(HPO_FAULT_CLOCK=f"{at}:{study.rng.choice([60, 3600, 86400])}")
    study.until(lambda: time.monotonic() >= at, "")
    before = study.seen()
    study.wait()
    return Struck(before, at, problems=_exit_code(process.returncode, 0))


def disk_full(study: Execution) -> Struck:
    """The process that writes the record may not make any file longer than the record is now."""
    process = study.begin()
    study.some_trial_runs()
    room = study.journal.stat().st_size + study.rng.randrange(1500)
    with suppress(ProcessLookupError):
        _, hard = resource.prlimit(study.coordinator(), resource.RLIMIT_FSIZE)
        resource.prlimit(study.coordinator(), resource.RLIMIT_FSIZE, (room, hard))
    study.wait()
    before, at = study.seen(), time.monotonic()
    return Struck(before, at, problems=_exit_code(process.returncode, 1))


def run_twice(study: Execution) -> Struck:
    """A second run is refused, also while the first stands still."""
    first = study.begin()
    study.random_moment()
    _send(signal.SIGSTOP, first.pid)
    held = is_held(study.home.study(NAME).root / "run.lock")
    before, at = study.seen(), time.monotonic()
    study.begin()
    second = study.wait()
    _send(signal.SIGCONT, first.pid)
    problems = _exit_code(second, 2 if held else 0)
    if held:
        problems += _exit_code(first.wait(TIMEOUT_SECONDS), 0)
    return Struck(before, at, problems=problems)


def last_lines_torn(study: Execution) -> Struck:
    """The run is killed, and every file that it appends to or replaces loses its end."""
    problems = run_killed(study).problems
    folder = study.home.study(NAME)
    lock = folder.root / "record.lock"
    while lock.exists() and is_held(lock):  # under Ray the writer outlives its run by a moment
        time.sleep(0.05)
    before, at = study.seen(), time.monotonic()
    if study.journal.exists() and len(study.journal.read_bytes().splitlines()) > 1:
        _tear(study, study.journal)
        after = study.seen()
        if len(ended(before) - ended(after)) > 1 or ended(after) - ended(before):
            problems.append(f"of {ended(before)} the torn record has {ended(after)}")
        before = after
    for metrics in folder.root.glob("trials/*/metrics.jsonl"):
        if int(metrics.parent.name) not in ended(before):
            _tear(study, metrics)
    _tear(study, folder.best)
    problems += _refused_until_put_back(study, folder.spec)
    return Struck(before, at, problems=problems)


def _tear(study: Execution, file: Path) -> None:
    if file.exists() and (content := file.read_bytes()):
        last = content.splitlines(keepends=True)[-1]
        file.write_bytes(content[: len(content) - study.rng.randint(1, len(last))])


def _refused_until_put_back(study: Execution, spec: Path) -> list[str]:
    """What the study is cannot be guessed: hpo must say so, and leave everything as it is."""
    if not spec.exists():
        return []
    kept = spec.read_bytes()
    _tear(study, spec)
    files = [file for file in (spec, study.journal) if file.exists()]
    torn = [file.read_bytes() for file in files]
    study.begin()
    problems = _exit_code(study.wait(), 2)
    if [file.read_bytes() for file in files] != torn:
        problems.append("a run that was refused has changed something")
    spec.write_bytes(kept)
    return problems


def tracker_wiped(study: Execution) -> Struck:
    study.begin()
    study.random_moment()
    before, at = study.seen(), time.monotonic()
    for file in study.home.root.glob("mlflow.db*"):
        file.unlink(missing_ok=True)
    return Struck(before, at, tracker=True)


def tracker(how: Callable[[MlflowServer], None]) -> Callable[[Execution], Struck]:
    """The tracker falls ill while the study runs, and is well again before its end or after."""

    def fault(study: Execution) -> Struck:
        assert study.server is not None
        study.begin()
        study.random_moment()
        how(study.server)
        if study.rng.random() < 0.5:
            study.random_moment()
        else:
            study.wait()
        before = study.seen()
        study.server.repair()
        return Struck(before, time.monotonic(), tracker=True)

    return fault


def _kill(server: MlflowServer) -> None:
    server.kill()


def _slow(server: MlflowServer) -> None:
    server.delay = 5.0


def _fail(server: MlflowServer) -> None:
    server.failing = True


tracker_killed, tracker_slow, tracker_failing = map(tracker, (_kill, _slow, _fail))


def database_restarts(study: Execution) -> Struck:
    """In order or by a crash, and away for a moment or for some seconds."""
    assert study.database is not None
    study.begin()
    study.some_trial_runs()
    before = study.seen()
    study.database.stop(study.rng.choice([signal.SIGINT, signal.SIGQUIT]))
    time.sleep(study.rng.uniform(0, 5))
    study.database.start()
    return Struck(before, time.monotonic(), problems=_ends_well(study))


def store_stands_still(study: Execution) -> Struck:
    """It takes what is sent, and answers some seconds later."""
    assert study.store is not None
    study.begin()
    study.some_trial_runs()
    before = study.seen()
    study.store.away()
    time.sleep(study.rng.uniform(1, 8))
    study.store.back()
    return Struck(before, time.monotonic(), problems=_ends_well(study))


def _send(what: signal.Signals, process: int) -> None:
    """To a process, or, as the negative of its leader's id, to a group; it may be gone by now."""
    with suppress(ProcessLookupError):
        os.kill(process, what)


def _ends_well(study: Execution) -> list[str]:
    """The run goes on without help."""
    return _exit_code(study.wait(), 0)


def _exit_code(code: int, expected: int) -> list[str]:
    return [] if code == expected else [f"a run ended with {code}, not {expected}"]
