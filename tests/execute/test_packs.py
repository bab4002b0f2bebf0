"""Trials that train together, through the whole of a run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from fusing import Fusing

from hpo.checkpoints import StoreLost, open_checkpoints
from hpo.execute.channel import ChannelLost
from hpo.execute.setup import Setup
from hpo.execute.together import Together
from hpo.records import State, TrialSpec
from hpo.study import run

TESTS = Path(__file__).parents[1]


@pytest.fixture
def fuse(write_study, home, tmp_path):
    """Runs a study of `fusing:train`; its trials, and who trained beside whom, in order."""
    shutil.copy(TESTS / "fusing.py", tmp_path / "fusing.py")

    def start(name="toy", pack=4, inline=True, **changes):
        log = tmp_path / f"{name}.log"
        resources = {"pack": pack, **changes.pop("resources", {})}
        space = {"x": {"low": 0, "high": 1}, "log": str(log), **changes.pop("space", {})}
        study = write_study(
            name=name,
            trainable="fusing:train",
            space=space,
            resources=resources,
            **{"search": {"sampler": "random", "trials": 8}, **changes},
        )
        found = run(study, inline=inline, home=home)
        return found.trials, [tuple(json.loads(line)) for line in log.read_text().splitlines()]

    return start


def test_trials_train_together_and_come_to_what_they_come_to_alone(fuse):
    together, notes = fuse("together", pack=4)
    alone, single = fuse("alone", pack="off")
    assert {how for how, _ in notes} == {"together"} and {how for how, _ in single} == {"alone"}
    assert max(len(numbers) for _, numbers in notes) == 4
    assert [t.config["x"] for t in together] == [t.config["x"] for t in alone]
    assert [t.value for t in together] == [t.value for t in alone]
    assert all(t.state is State.COMPLETE and t.steps == 4 for t in together)


def test_only_trials_of_one_fusion_key_train_together(fuse):
    trials, notes = fuse(space={"group": {"choices": [0, 1, 2]}}, pack=3)
    group = {t.number: t.config["group"] for t in trials}
    assert len(set(group.values())) == 3 and len(trials) == 8
    assert all(len({group[number] for number in numbers}) == 1 for _, numbers in notes)
    assert max(len(numbers) for _, numbers in notes) > 1
    assert all(t.state is State.COMPLETE for t in trials)


def test_lanes_that_end_are_filled_with_those_that_come_next(fuse):
    pruner = {"kind": "asha", "min_steps": 1, "reduction_factor": 2}
    trials, notes = fuse(pack=4, pruner=pruner, search={"sampler": "random", "trials": 12})
    states = {t.state for t in trials}
    assert states == {State.COMPLETE, State.PRUNED} and len(trials) == 12
    widths = [len(numbers) for _, numbers in notes]
    assert widths[:3] == [4, 4, 4], "what was pruned was not replaced"


def test_a_sampler_that_learns_does_not_draw_all_of_them_at_once(fuse):
    search = {"sampler": "tpe", "trials": 48}
    _, notes = fuse(pack="auto", search=search)
    assert {len(numbers) for _, numbers in notes[:-8]} == {6}, "its room"
    _, few = fuse("few", pack="auto", search={"sampler": "tpe", "trials": 40})
    first_seen = {}
    for at, (_, numbers) in enumerate(few):
        for number in numbers:
            first_seen.setdefault(number, at)
    assert first_seen[39] >= 24, "most were drawn with results known"


def test_trials_too_few_for_a_pack_to_pay_train_alone(fuse):
    """Of ten trials six train together, and the four that are left do not."""
    search = {"sampler": "random", "trials": 10}
    trials, notes = fuse(pack="auto", space={"fewest": 5}, search=search)
    assert [t.number for t in trials] == list(range(10))
    assert all(t.state is State.COMPLETE and t.steps == 4 for t in trials)
    assert notes == [("together", list(range(6)))] * 4 + [("alone", [n]) for n in range(6, 10)]
    _, pressed = fuse("pressed", pack=6, space={"fewest": 5}, search=search)
    assert {how for how, _ in pressed} == {"together"}, "a number is a number"


def test_a_device_with_room_for_too_few_trains_each_alone(fuse):
    _, notes = fuse(pack="auto", space={"fewest": 7})
    assert notes == [("alone", [n]) for n in range(8)], "drawn and begun one by one"


def test_a_pack_that_has_thinned_out_goes_on_and_takes_in_what_fits(fuse):
    pruner = {"kind": "asha", "min_steps": 1, "reduction_factor": 2}
    search = {"sampler": "random", "trials": 12}
    trials, notes = fuse(pack="auto", space={"fewest": 6}, pruner=pruner, search=search)
    assert {t.state for t in trials} == {State.COMPLETE, State.PRUNED} and len(trials) == 12
    assert {how for how, _ in notes} == {"together"}
    assert len(notes[0][1]) == 6 and len(notes[-1][1]) < 6


def test_a_sampler_that_learns_draws_nothing_ahead_for_packs_that_are_not_to_be(fuse):
    """Of 60 trials 15 may be drawn ahead: of four groups hardly six of one."""
    search = {"sampler": "tpe", "trials": 60}
    space = {"group": {"choices": list(range(4))}, "fewest": 6}
    trials, notes = fuse(pack="auto", space=space, search=search)
    assert sorted(notes) == [("alone", [n]) for n in range(60)], "none twice, none lost"
    late = [t.number for t in trials[1:] if t.started < trials[t.number - 1].finished]
    assert len(late) < 15, "soon the shares of the groups were known"


def test_a_pack_without_memory_goes_on_in_halves_and_this_is_remembered(fuse):
    trials, notes = fuse(space={"mode": "crowd"}, pack=4)
    assert all(t.state is State.COMPLETE for t in trials)
    assert {how for how, _ in notes} == {"together"}
    assert [len(numbers) for _, numbers in notes].count(4) == 1
    assert {len(numbers) for _, numbers in notes[1:]} == {2}


def test_a_pack_that_raises_goes_on_alone_and_only_the_culprit_fails(fuse):
    trials, notes = fuse(
        space={"mode": {"choices": ["good", "raise"]}},
        pack=8,
        budget={"max_failures": 8},
    )
    for trial in trials:
        culprit = trial.config["mode"] == "raise"
        assert trial.state is (State.FAILED if culprit else State.COMPLETE)
        assert trial.reason == ("ValueError: a bad day" if culprit else "")
    assert sorted(n for how, numbers in notes for n in numbers if how == "alone") == list(range(8))


def test_a_lane_that_diverges_leaves_the_others_alone(fuse):
    trials, _ = fuse(space={"mode": {"choices": ["good", "nan"]}}, pack=8)
    for trial in trials:
        bad = trial.config["mode"] == "nan"
        assert trial.state is (State.DIVERGED if bad else State.COMPLETE)


def test_what_a_pack_raises_is_told(fuse, caplog):
    fuse(space={"mode": {"choices": ["good", "raise"]}}, pack=8, budget={"max_failures": 8})
    (told,) = (record for record in caplog.records if "train together go on" in record.message)
    assert told.message == "8 trials that train together go on alone"
    assert told.exc_info and "one of us" in str(told.exc_info[1])


@pytest.mark.parametrize("lost", [StoreLost("the store is away", ""), ChannelLost()])
def test_a_store_or_a_coordinator_that_is_lost_is_no_trials_fault(tmp_path, home, lost):
    class Losing(Fusing):
        def run_many(self, pack):
            raise lost

    class Channel:
        def more(self, worker, held, room, fewest):
            return [TrialSpec(1, {"x": 0.1}, 0, "w/1")]

    folder = home.study("toy")
    checkpoints = open_checkpoints("default", folder, "")
    setup = Setup("fusing:train", tmp_path, folder, checkpoints, pack=2)
    held = {0: TrialSpec(0, {"x": 0.2}, 0, "w/0")}
    with pytest.raises(type(lost)):
        Together(setup, Losing(), Channel(), "w", held).run(held[0])
    assert sorted(held) == [0, 1], "they run again"


def test_a_worker_that_dies_with_a_pack_costs_no_trial(fuse):
    trials, notes = fuse(
        space={"mode": "die_once"}, pack=4, inline=False, resources={"workers": 1, "cpus": 1}
    )
    assert [t.number for t in trials] == list(range(8))
    assert all(t.state is State.COMPLETE and t.steps == 4 for t in trials)
    assert notes[0] == ("together", [0, 1, 2, 3])
    again = [numbers for how, numbers in notes[1:] if how == "alone"]
    assert sorted(n for numbers in again for n in numbers) == [0, 1, 2, 3], "suspects run alone"
