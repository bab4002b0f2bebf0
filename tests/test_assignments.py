"""Who runs what."""

from __future__ import annotations

from hpo.assignments import Assignments, worker_of


class Clock:
    now = 10.0

    def __call__(self):
        return self.now


def test_trials_go_on_in_order_and_new_ones_first():
    held = Assignments([3, 5], claim_seconds=0)
    held.put_first(9)
    handed = [held.hand_to(worker) for worker in "abc"]
    assert [number for number, _ in handed] == [9, 3, 5]
    assert [worker_of(lease) for _, lease in handed] == ["a", "b", "c"]
    assert not held.waiting and held.held == 3
    assert held.take_back("b") == 3 and held.take_back("b") is None
    assert held.holds(9, handed[0][1]) and not held.holds(3, handed[1][1])
    held.drop(9)
    held.drop(3)
    assert held.held == 1 and not held.open


def test_claims_end():
    clock = Clock()
    held = Assignments([1, 2], claim_seconds=5, clock=clock)
    assert held.open and not held.waiting
    assert held.holds(2, "a/x") and not held.holds(2, "b/y")
    held.end_claims()
    assert not held.waiting
    clock.now += 6
    held.end_claims()
    assert held.hand_to("c")[0] == 1
    assert not held.holds(1, "d/z")


def test_workers_fall_silent_and_the_dead_stay_dead():
    clock = Clock()
    held = Assignments([], claim_seconds=0, clock=clock)
    assert held.hear("a")
    found = []
    for _ in range(4):
        clock.now += 2
        found.append(held.silent(["a", "b"], 5))
    assert found == [[], [], ["a"], ["a", "b"]]
    held.condemn("a")
    assert not held.hear("a") and held.condemned == ("a",)
    assert held.silent(["a", "b"], 5) == ["b"]
    held.ended("a")
    assert held.condemned == () and not held.hear("a")


def test_when_nobody_looked_nobody_was_silent():
    clock = Clock()
    held = Assignments([], claim_seconds=0, clock=clock)
    held.hear("a")
    clock.now += 60  # the process itself was held up
    assert held.silent(["a"], 5) == []
    clock.now += 2
    assert held.silent(["a"], 5) == []
    clock.now += 2
    held.silent(["a"], 5)
    clock.now += 2
    assert held.silent(["a"], 5) == ["a"]
