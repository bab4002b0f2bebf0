"""The coordinator hands out trials that train together."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from hpo import coordinator as coordinators
from hpo import frozen, studyfile
from hpo.coordinator import Coordinator
from hpo.losses import MAX_LOSSES
from hpo.records import Decision, Outcome, Report, State
from hpo.stage import Search


@pytest.fixture
def open_study(write_study, home, tmp_path, monkeypatch):
    """Opens a coordinator on a study of trials with two fusion keys, in turns."""
    monkeypatch.setattr(coordinators, "PREDECESSOR_SECONDS", 0)
    shutil.copy(Path(__file__).parent / "fusing.py", tmp_path / "fusing.py")
    opened = []

    def start(trials=12, groups=(0, 1), pack="auto", sampler="grid"):
        space = {"group": {"choices": list(groups)}, "x": {"low": 0, "high": 1, "step": 0.125}}
        path = write_study(
            trainable="fusing:train",
            space=space,
            search={"sampler": sampler, "trials": trials},
            resources={"pack": pack},
        )
        study = studyfile.load(path)
        frozen.freeze(study, home)
        opened.append(Coordinator(Search(home.study(study.name))))
        return opened[-1]

    yield start
    for coordinator in opened:
        coordinator.close()


def groups(specs):
    return {spec.config["group"] for spec in specs}


def numbers(specs):
    return [spec.number for spec in specs]


def test_packs_have_what_fits_and_nothing_is_passed_over(open_study):
    coordinator = open_study(sampler="random")
    packs = []
    for worker in "abcdefgh":
        if first := coordinator.next_trial(worker):
            packs.append([first, *coordinator.more(worker, [first.number], 3)])
    assert all(len(groups(pack)) == 1 for pack in packs)
    assert sorted(n for pack in packs for n in numbers(pack)) == list(range(12))
    assert {group for pack in packs for group in groups(pack)} == {0, 1}
    assert len(packs[0]) == 4
    assert any(numbers(p) != list(range(p[0].number, p[-1].number + 1)) for p in packs), "waited"


def test_what_a_pack_draws_is_what_is_drawn_without_one(open_study, home):
    coordinator = open_study(sampler="random")
    first = coordinator.next_trial("a")
    coordinator.more("a", [first.number], 11)
    drawn = [t.config for t in coordinator.changes(0)[1]]
    coordinator.close()
    shutil.rmtree(home.study("toy").root)
    alone = open_study(sampler="random")
    for config in drawn:
        spec = alone.next_trial("a")
        assert spec.config == config
        alone.finish(spec.number, spec.lease, Outcome(State.COMPLETE, {"loss": 0.5}))


def test_reports_of_a_pack_come_together(open_study):
    coordinator = open_study(groups=(0,))
    first = coordinator.next_trial("a")
    pack = [first, *coordinator.more("a", [first.number], 2)]
    losses = [0.5, float("nan"), 0.1]
    decisions = coordinator.report_all(
        [
            (spec.number, spec.lease, Report(1, {"loss": loss}, time.time()))
            for spec, loss in zip(pack, losses, strict=True)
        ]
    )
    assert decisions == [Decision.GO_ON, Decision.DIVERGE, Decision.GO_ON]


def test_a_pack_whose_worker_died_is_handed_out_one_by_one(open_study):
    coordinator = open_study(groups=(0,), trials=4)
    first = coordinator.next_trial("a")
    pack = [first, *coordinator.more("a", [first.number], 3)]
    coordinator.worker_ended("a", died=True)
    handed = []
    for worker in ("b", "c", "d", "e"):
        spec = coordinator.next_trial(worker)
        assert coordinator.more(worker, [spec.number], 3) == []
        handed.append(spec)
    assert numbers(handed) == numbers(pack)
    worker = "b"
    for _ in range(MAX_LOSSES - 1):
        coordinator.worker_ended(worker, died=True)
        worker += "b"
        coordinator.next_trial(worker)
    failed = [t.number for t in coordinator.changes(0)[1] if t.state is State.FAILED]
    assert failed == [handed[0].number]


def test_packs_are_halved_for_the_whole_study_when_a_machine_is_full(open_study):
    coordinator = open_study(groups=(0,))
    first = coordinator.next_trial("a")
    assert len(coordinator.more("a", [first.number], 7)) == 7
    coordinator.too_wide("a", 8)
    coordinator.worker_ended("a", died=True)
    again = coordinator.next_trial("b")
    assert again.number == first.number, "nobody is to blame"
    assert len(coordinator.more("b", [again.number], 7)) == 3


def test_lanes_are_no_workers(open_study):
    coordinator = open_study(groups=(0,))
    coordinator.limit_workers(2)
    first = coordinator.next_trial("a")
    assert len(coordinator.more("a", [first.number], 5)) == 5
    assert coordinator.next_trial("b") is not None
    assert coordinator.next_trial("c") is None, "two workers are at work"


def test_a_stopping_study_fills_no_lanes(open_study):
    coordinator = open_study(groups=(0,))
    first = coordinator.next_trial("a")
    coordinator.stop()
    assert coordinator.more("a", [first.number], 5) == []


def test_a_study_that_learns_is_not_drawn_ahead_of_its_results(open_study):
    """Of what fits nowhere yet no more waits than a pack has lanes."""
    coordinator = open_study(trials=72, groups=range(8), pack=4, sampler="tpe")
    held = [coordinator.next_trial("a")]
    for _ in range(6):
        held += coordinator.more("a", numbers(held), 4 - len(held))
        opened = len(coordinator.changes(0)[1])
        ended = held.pop(0)
        assert opened - ended.number <= 4 + 4 + 8
        coordinator.finish(ended.number, ended.lease, Outcome(State.COMPLETE, {"loss": 0.5}))
        if not held:
            held = [coordinator.next_trial("a")]
    assert len(coordinator.changes(0)[1]) <= 6 + 4 + 4


def test_who_trains_beside_an_overdue_trial_is_not_to_blame(open_study, monkeypatch):
    coordinator = open_study(groups=(0,), trials=4)
    monkeypatch.setattr(coordinators, "OVERTIME_SECONDS", 0.0)
    first = coordinator.next_trial("a")
    (second,) = coordinator.more("a", [first.number], 1)
    monkeypatch.setattr(
        coordinator, "_overtime", lambda number: 1.0 if number == first.number else -1.0
    )
    assert coordinator.overdue(["a"]) == ("a",)
    coordinator.worker_ended("a", died=True)
    again = coordinator.next_trial("b")
    assert again.number == second.number
    assert coordinator.more("b", [again.number], 1), "it may train beside others again"


def test_what_a_worker_has_not_heard_of_goes_back(open_study):
    coordinator = open_study(groups=(0,), trials=6)
    first = coordinator.next_trial("a")
    lost = coordinator.more("a", [first.number], 2)  # the answer does not arrive
    again = coordinator.more("a", [first.number], 2)
    assert numbers(again) == numbers(lost) and again[0].lease != lost[0].lease


def test_what_is_given_back_runs_alone_or_not(open_study):
    coordinator = open_study(groups=(0,), trials=6)
    first = coordinator.next_trial("a")
    pack = [first, *coordinator.more("a", [first.number], 2)]
    coordinator.give_back("a", numbers(pack[1:]), alone=False)
    coordinator.give_back("a", [first.number], alone=True)
    one = coordinator.next_trial("b")
    assert numbers([one, *coordinator.more("b", [one.number], 1)]) == numbers(pack[1:])
    alone = coordinator.next_trial("c")
    assert alone.number == first.number and coordinator.more("c", [alone.number], 3) == []
