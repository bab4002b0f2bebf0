"""Who spent how much time on what."""

from __future__ import annotations

from hpo.budget import Spending
from hpo.ledger import Ledger
from hpo.records import State


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_time_of_workers_and_trials():
    clock = Clock()
    ledger = Ledger(Spending(), cpus=2, gpus=0.5, clock=clock)
    clock.now += 50  # nobody is at work yet
    ledger.worker_seen("a")
    ledger.trial_began(0, "a")
    clock.now += 3
    ledger.worker_seen("b")
    ledger.trial_began(1, "b")
    clock.now += 2
    assert ledger.running_for(0) == 5 and ledger.running_for(7) == 0
    assert ledger.trial_ended(0, State.COMPLETE) == 5
    ledger.trial_left(1)  # its worker died
    ledger.worker_ended("b")
    clock.now += 1
    ledger.trial_began(1, "a")
    clock.now += 4
    assert ledger.spent().busy_seconds == {State.COMPLETE: 5, State.RUNNING: 6}
    assert ledger.trial_ended(1, State.FAILED) == 6
    ledger.worker_ended("a")
    clock.now += 1000
    spent = ledger.spent()
    assert spent.wall_seconds == 10
    assert spent.worker_seconds == 12
    assert spent.busy_seconds == {State.COMPLETE: 5, State.FAILED: 6}
    assert (spent.idle_seconds, spent.cpu_seconds, spent.gpu_seconds) == (1, 24, 6)


def test_the_time_of_a_worker_is_shared_by_trials_that_train_together():
    clock = Clock()
    ledger = Ledger(Spending(), cpus=1, gpus=1, clock=clock)
    ledger.worker_seen("a")
    ledger.trial_began(0, "a")
    ledger.trial_began(1, "a")
    clock.now += 6
    assert ledger.trial_ended(0, State.PRUNED) == 3
    clock.now += 2
    ledger.trial_began(2, "a")
    clock.now += 4
    assert ledger.spent().unfinished == {1: 3 + 2 + 2, 2: 2}
    assert ledger.running_for(1) == 12, "a time limit is about the clock"
    assert ledger.trial_ended(1, State.COMPLETE) == 7
    assert ledger.trial_ended(2, State.COMPLETE) == 2
    ledger.worker_ended("a")
    assert ledger.spent().worker_seconds == sum(ledger.spent().busy_seconds.values()) == 12


def test_earlier_runs_count():
    clock = Clock()
    before = Spending(10, 20, {State.COMPLETE: 5, State.RUNNING: 2}, 20, 0, {3: 2})
    ledger = Ledger(before, cpus=1, gpus=0, clock=clock)
    assert ledger.spent() == before
    ledger.worker_seen("a")
    ledger.trial_began(3, "a")
    clock.now += 1
    assert ledger.spent().unfinished == {3: 3}
    assert ledger.trial_ended(3, State.COMPLETE) == 3
    assert ledger.spent() == Spending(11, 21, {State.COMPLETE: 8}, 21, 0)
