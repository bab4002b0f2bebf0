"""The pruner's audit, counted by hand."""

from __future__ import annotations

import dataclasses
import math

import pytest

from hpo.records import Objective, State, TrialRecord
from hpo.report.audit import Rung, audit

LOSS = Objective("loss")


def trial(
    number: int, value: float | None, state: State = State.COMPLETE, steps: int = 9
) -> TrialRecord:
    values = () if value is None else (value,)
    return TrialRecord(number, state, {}, {}, values, {}, "", 0.0, 1.0, steps)


def flat(*values: float, steps: int = 9) -> dict[int, dict[int, float]]:
    """One curve a trial that stays at a value."""
    return {n: dict.fromkeys(range(1, steps + 1), value) for n, value in enumerate(values)}


def test_a_trial_that_starts_slowly_would_have_been_cut() -> None:
    trials = [trial(0, 0.1), trial(1, 0.2), trial(2, 0.3)]
    curves = {0: {1: 0.9, 3: 0.5, 9: 0.1}, 1: {1: 0.5, 3: 0.2, 9: 0.2}, 2: {1: 0.6, 3: 0.6, 9: 0.3}}
    found = audit(trials, curves, [(1, 2 / 3), (3, 1 / 3)], LOSS, {})
    assert found.best == (0, 1, 2)
    assert found.rungs == (Rung(1, 2 / 3, 3, (0,)), Rung(3, 1 / 3, 3, (0, 2)))


def test_those_that_were_pruned_count_at_the_rungs_they_reached() -> None:
    trials = [trial(0, 0.1), trial(1, 0.3, State.PRUNED, 1), trial(2, 0.4, State.PRUNED, 1)]
    curves = {0: {1: 0.35, 3: 0.1}, 1: {1: 0.3}, 2: {1: 0.4}}
    first, second = audit(trials, curves, [(3, 1 / 3), (1, 1 / 3)], LOSS, {}).rungs
    assert (first.step, first.reached, first.cut) == (1, 3, (0,))
    assert (second.step, second.reached, second.cut) == (3, 1, ())


@pytest.mark.parametrize("reached", range(1, 40))
@pytest.mark.parametrize("factor", [2, 3, 4, 10])
def test_as_many_go_on_as_successive_halving_lets_and_at_least_one(
    reached: int, factor: int
) -> None:
    trials = [trial(n, float(n)) for n in range(reached)]
    rung = audit(trials, flat(*map(float, range(reached))), [(1, 1 / factor)], LOSS, {}).rungs[0]
    go_on = max(1, reached // factor)
    assert rung.cut == tuple(range(go_on, min(reached, 5)))


def test_of_equals_all_go_on() -> None:
    trials = [trial(n, 0.5) for n in range(4)]
    assert audit(trials, flat(0.5, 0.5, 0.5, 0.5), [(1, 1 / 4)], LOSS, {}).rungs[0].cut == ()


def test_larger_is_better_when_maximized() -> None:
    trials = [trial(0, 0.9), trial(1, 0.1)]
    curves = {0: {1: 0.2, 9: 0.9}, 1: {1: 0.3, 9: 0.1}}
    found = audit(trials, curves, [(1, 1 / 2)], Objective("accuracy", "maximize"), {})
    assert (found.best, found.rungs[0].cut) == ((0, 1), (0,))


def test_only_the_five_best_count() -> None:
    trials = [trial(n, float(n)) for n in range(9)]
    assert audit(trials, {}, [], LOSS, {}).best == (0, 1, 2, 3, 4)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_ranks_last(bad: float) -> None:
    trials = [trial(0, 0.1), trial(1, None, State.DIVERGED, 1)]
    curves = {0: {1: 0.5, 9: 0.1}, 1: {1: bad}}
    assert audit(trials, curves, [(1, 1 / 2)], LOSS, {}).rungs[0].cut == ()


def test_a_trial_that_reports_rarely_is_judged_by_its_last_value_before() -> None:
    trials = [trial(0, 0.1), trial(1, 0.2)]
    curves = {0: {2: 0.9, 4: 0.1}, 1: {1: 0.5, 3: 0.5, 4: 0.5}}
    rungs = audit(trials, curves, [(1, 1 / 2), (3, 1 / 2)], LOSS, {}).rungs
    assert [(r.step, r.reached, r.cut) for r in rungs] == [(1, 1, ()), (3, 2, (0,))]


def test_a_rung_that_none_of_the_best_reached_is_left_out() -> None:
    trials = [trial(0, 0.1), trial(1, 0.2, State.PRUNED)]
    assert audit(trials, {0: {2: 0.1}, 1: {1: 0.2, 2: 0.2}}, [(1, 1 / 2)], LOSS, {}).rungs == ()


def test_steps_saved_are_those_that_pruned_trials_did_not_take() -> None:
    trials = [
        trial(0, 0.1, steps=9),
        trial(1, 0.5, State.PRUNED, 1),
        trial(2, 0.4, State.PRUNED, 3),
        trial(3, None, State.FAILED, 2),
        trial(4, None, State.RUNNING, 5),
    ]
    found = audit(trials, {}, [], LOSS, {1: 9, 2: 12})
    assert (found.pruned, found.saved, found.full) == (2, 8 + 9, 8 + 9 + 9 + 1 + 3)


def test_where_the_trainable_does_not_know_the_longest_complete_trial_stands_in() -> None:
    trials = [trial(0, 0.1, steps=7), trial(1, 0.5, State.PRUNED, 1)]
    assert audit(trials, {}, [], LOSS, {}).saved == 6
    assert audit(trials[1:], {}, [], LOSS, {}).saved is None
    assert audit(trials[:1], {}, [], LOSS, {}).saved is None


def test_a_pruned_trial_longer_than_any_complete_one_saves_nothing() -> None:
    trials = [trial(0, 0.1, steps=2), trial(1, 0.5, State.PRUNED, 5)]
    assert audit(trials, {}, [], LOSS, {}).saved == 0


def test_a_trial_that_was_never_run_is_not_judged() -> None:
    trials = [trial(0, 0.1), dataclasses.replace(trial(1, 0.1), same_as=0)]
    assert audit(trials, flat(0.1), [(1, 1 / 2)], LOSS, {}).best == (0,)
