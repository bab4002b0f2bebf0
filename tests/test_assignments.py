"""Who runs what."""

from __future__ import annotations

from hpo.assignments import Assignments, worker_of


class Clock:
    now = 10.0

    def __call__(self):
        return self.now


def test_trials_go_on_in_order_and_new_ones_last():
    held = Assignments([3, 5], claim_seconds=0)
    held.put(9)
    handed = [(n, held.hand_to(w, n)) for w, n in zip("abc", held.waiting, strict=True)]
    assert [number for number, _ in handed] == [3, 5, 9]
    assert [worker_of(lease) for _, lease in handed] == ["a", "b", "c"]
    assert not held.waiting and held.held == 3
    assert held.take_back("b", [3, 5]) == [5] and held.take_back("b", [5]) == []
    assert held.holds(3, handed[0][1]) and not held.holds(5, handed[1][1])
    held.drop(3)
    held.drop(5)
    assert held.held == 1 and not held.open


def test_a_worker_holds_several_trials_and_loses_all_of_them():
    held = Assignments(range(4), claim_seconds=0)
    leases = {number: held.hand_to("a", number) for number in (0, 2)}
    held.hand_to("b", 3)
    assert (held.held, held.busy, held.of("a"), held.of("b")) == (3, 2, {0, 2}, {3})
    assert held.take_back("a", held.of("a")) == [0, 2] and held.waiting == (1, 0, 2)
    assert not held.holds(0, leases[0]) and held.busy == 1


def test_claims_end():
    clock = Clock()
    held = Assignments([1, 2], claim_seconds=5, clock=clock)
    assert held.open and not held.waiting
    assert held.holds(2, "a/x") and not held.holds(2, "b/y")
    held.end_claims()
    assert not held.waiting
    clock.now += 6
    held.end_claims()
    held.hand_to("c", held.waiting[0])
    assert held.waiting == () and held.of("c") == {1}
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
