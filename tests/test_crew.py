"""Assignments do not change without the ledger."""

from __future__ import annotations

from hpo.budget import Spending
from hpo.crew import Crew
from hpo.ledger import Ledger
from hpo.records import State


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_time_counts_while_a_worker_holds_a_trial():
    clock = Clock()
    ledger = Ledger(Spending(), cpus=1, gpus=0, clock=clock)
    crew = Crew(ledger, [0, 1, 2], claim_seconds=0.0)
    crew.began("a", "node")
    clock.now += 50  # it loads what it needs
    assert crew.hear("a")
    leases = [crew.hand_to("a", number) for number in (0, 1)]
    clock.now += 4
    assert ledger.running_for(0) == 4 and crew.holds(0, leases[0])
    assert crew.take_back("a", [0]) == [0] and ledger.running_for(0) == 0
    clock.now += 2
    assert crew.take_back("a") == [1] and crew.waiting == (2, 0, 1)
    crew.ended("a")
    clock.now += 10
    assert not crew.hear("a"), "what it says comes late"
    assert [ledger.trial_ended(number, State.COMPLETE) for number in (0, 1)] == [2, 4]
    assert ledger.spent().worker_seconds == 6


def test_a_trial_that_is_claimed_counts_from_then_on():
    clock = Clock()
    ledger = Ledger(Spending(), cpus=1, gpus=0, clock=clock)
    crew = Crew(ledger, [0], claim_seconds=60.0)
    assert crew.holds(0, "a/lease") and not crew.holds(0, "b/lease")
    clock.now += 3
    assert ledger.running_for(0) == 3
