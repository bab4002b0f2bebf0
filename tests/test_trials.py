"""The trials of a record as they stand."""

from __future__ import annotations

from dataclasses import replace

from hpo.records import State, TrialRecord
from hpo.trials import Trials


def trial(number, state=State.RUNNING, x=0.5):
    return TrialRecord(number, state, {"x": x}, {}, (), {}, "", 0.0, None, 0)


def test_trials_are_counted_by_their_state_now():
    trials = Trials([trial(0, State.COMPLETE), trial(1)], deterministic=False)
    trials.note(trial(2))
    trials.note(trial(1, State.PRUNED))
    assert trials.counts == {State.COMPLETE: 1, State.RUNNING: 1, State.PRUNED: 1}
    trials.note(trial(2, State.PRUNED))
    assert trials.counts == {State.COMPLETE: 1, State.PRUNED: 2}
    assert (len(trials), trials.ended) == (3, 3)


def test_what_runs_is_known_and_has_not_ended():
    trials = Trials([trial(0, State.COMPLETE), trial(1)], deterministic=False)
    assert [trials.runs(number) for number in range(3)] == [False, True, False]


def test_changes_since_an_answer_are_told_once_in_the_order_of_numbers():
    trials = Trials([trial(0), trial(1), trial(2)], deterministic=False)
    since, told = trials.changes(0)
    assert [t.number for t in told] == [0, 1, 2] and trials.changes(since) == (since, [])
    trials.note(replace(trial(2), steps=1))
    trials.note(replace(trial(0), steps=1))
    trials.note(replace(trial(2), steps=2))
    later, told = trials.changes(since)
    assert [(t.number, t.steps) for t in told] == [(0, 1), (2, 2)]
    assert trials.changes(later) == (later, [])


def test_only_a_deterministic_result_answers_for_its_config():
    ended = [trial(0, State.PRUNED), trial(1, State.DIVERGED), trial(2, State.COMPLETE, x=0.1)]
    known = Trials([*ended, trial(3, x=0.2)], deterministic=True)
    assert known.answer({"x": 0.5}).number == 1
    assert known.answer({"x": 0.1}).number == 2
    assert known.answer({"x": 0.2}) is None, "it still runs"
    known.note(replace(trial(4, State.COMPLETE, x=0.1), same_as=2))
    assert known.answer({"x": 0.1}).number == 2, "the one that was run"
    assert Trials(ended, deterministic=False).answer({"x": 0.1}) is None
