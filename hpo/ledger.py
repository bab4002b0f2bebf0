"""Who spent how much time on what, by a clock that nobody can set."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable

from hpo.budget import Spending
from hpo.records import State


class Ledger:
    """Counts the time of workers and trials in this run, on top of what was spent before.

    The time of a worker that trains several trials together is shared among them.

    Args:
        before: spent in earlier runs.
        cpus, gpus: that each worker holds.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        before: Spending,
        cpus: float,
        gpus: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._before = before
        self._cpus = cpus
        self._gpus = gpus
        self._clock = clock
        self._wall_seconds = 0.0
        self._at_work_since = 0.0
        self._workers: dict[str, float] = {}
        self._worker_seconds = 0.0
        self._began: dict[int, float] = {}
        self._worker_of: dict[int, str] = {}
        self._at_work: dict[str, set[int]] = {}
        self._shared_at: dict[str, float] = {}
        # Of executions that go on or were cut short, by trial.
        self._unfinished = defaultdict(float, before.unfinished)
        self._busy = defaultdict(float, before.busy_seconds)
        self._busy.pop(State.RUNNING, None)

    def worker_seen(self, worker: str) -> None:
        now = self._clock()
        if not self._workers:
            self._at_work_since = now
        self._workers.setdefault(worker, now)

    def worker_ended(self, worker: str) -> None:
        if worker in self._workers:
            now = self._clock()
            self._worker_seconds += now - self._workers.pop(worker)
            if not self._workers:
                self._wall_seconds += now - self._at_work_since

    def trial_began(self, number: int, worker: str) -> None:
        """A worker is at a trial, perhaps not the first one; said again it changes nothing."""
        if number not in self._began:
            self._share(worker)
            self._began[number] = self._clock()
            self._worker_of[number] = worker
            self._at_work.setdefault(worker, set()).add(number)

    def trial_left(self, number: int) -> None:
        """A worker left a trial unfinished."""
        if number not in self._began:
            return
        worker = self._worker_of.pop(number)
        self._share(worker)
        del self._began[number]
        self._at_work[worker].remove(number)
        if not self._at_work[worker]:
            del self._at_work[worker], self._shared_at[worker]

    def trial_ended(self, number: int, state: State) -> float:
        """The seconds that a trial took of its workers, in all its executions."""
        self.trial_left(number)
        seconds = self._unfinished.pop(number, 0.0)
        self._busy[state] += seconds
        return seconds

    def running_for(self, number: int) -> float:
        """Seconds of the execution that is going on, whoever trains beside it; 0 if there is
        none."""
        return self._clock() - self._began[number] if number in self._began else 0.0

    def _share(self, worker: str) -> None:
        """Shares a worker's time up to now among the trials that it is at."""
        now, numbers = self._clock(), self._at_work.get(worker)
        for number in numbers or ():
            self._unfinished[number] += (now - self._shared_at[worker]) / len(numbers or ())
        self._shared_at[worker] = now

    def spent(self) -> Spending:
        now = self._clock()
        for worker in self._at_work:
            self._share(worker)
        unfinished = dict(self._unfinished)
        busy = {**self._busy, State.RUNNING: sum(unfinished.values())}
        here = self._worker_seconds + sum(now - began for began in self._workers.values())
        wall = self._wall_seconds + (now - self._at_work_since if self._workers else 0.0)
        return Spending(
            wall_seconds=self._before.wall_seconds + wall,
            worker_seconds=self._before.worker_seconds + here,
            busy_seconds={state: seconds for state, seconds in busy.items() if seconds > 0},
            cpu_seconds=self._before.cpu_seconds + here * self._cpus,
            gpu_seconds=self._before.gpu_seconds + here * self._gpus,
            unfinished=unfinished,
        )
