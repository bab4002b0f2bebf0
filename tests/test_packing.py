"""Who trains with whom, how many together, and how many are drawn for that."""

from __future__ import annotations

import pytest

from hpo.assignments import Assignments
from hpo.packing import AHEAD_LEAST, DRAWS_A_LANE, Packing

KEYS = "abababcccc"


@pytest.fixture
def crew():
    """Ten trials that wait, the first of which goes to worker w."""
    crew = Assignments(range(len(KEYS)), 0.0)
    crew.hand_to("w", 0)
    return crew


def packing(crew, keys=KEYS, **options):
    return Packing(crew, lambda number: keys[number], **options)


def test_what_fits_comes_in_the_order_in_which_it_waits(crew):
    assert packing(crew).fitting("w", 8) == [2, 4]
    assert packing(crew).fitting("w", 1) == [2]
    assert packing(crew).fitting("w", 0) == []


def test_a_worker_that_holds_nothing_or_what_does_not_fit_gets_nothing(crew):
    here = packing(crew)
    assert here.fitting("v", 8) == [] and not here.wants("v", 8)
    crew.hand_to("w", 1)
    assert here.fitting("w", 8) == [] and not here.wants("w", 8)


def test_what_trains_alone_neither_takes_others_along_nor_joins_them(crew):
    here = packing(crew)
    here.alone(2)
    assert here.fitting("w", 8) == [4]
    here.alone(0)
    assert here.fitting("w", 8) == [] and not here.wants("w", 8)
    without = packing(crew, keys=[None, *KEYS[1:]])
    assert without.fitting("w", 8) == [] and not without.wants("w", 8)


def test_of_an_ended_trial_nothing_is_known_any_more(crew):
    keys = list(KEYS)
    here = packing(crew, keys)
    here.alone(2)
    assert here.fitting("w", 8) == [4]
    keys[1] = "a"
    assert here.fitting("w", 8) == [4], "what it was found to be"
    here.ended(1)
    here.ended(2)
    assert here.fitting("w", 8) == [1, 2, 4]


def test_packs_are_halved_and_never_widen_again(crew):
    here = packing(crew, keys="a" * 10)
    here.too_wide(8)
    assert here.fitting("w", 7) == [1, 2, 3]
    here.too_wide(100)
    assert here.fitting("w", 7) == [1, 2, 3]
    here.too_wide(1)
    assert here.fitting("w", 7) == [] and not here.wants("w", 7)


def test_a_full_pack_wants_no_draw(crew):
    assert not packing(crew).wants("w", 2)
    assert packing(crew).wants("w", 3)


def test_many_misfits_may_wait_where_draws_do_not_depend_on_results():
    """Seven wait of another key."""
    crew = Assignments(range(8), 0.0)
    crew.hand_to("w", 0)
    keys = "abbbbbbb"
    assert packing(crew, keys).wants("w", 1), f"up to {DRAWS_A_LANE} for each of two lanes"
    assert not packing(crew, keys, learns=True).wants("w", 6)
    assert packing(crew, keys, learns=True).wants("w", 7)
    crew.put(8)
    assert not packing(crew, keys + "b").wants("w", 1)


@pytest.mark.parametrize(("total", "wants"), [(4, False), (4 * 10, False), (4 * 11, True)])
def test_a_quarter_of_the_trials_is_drawn_without_each_others_results(crew, total, wants):
    """Ten are held or wait."""
    assert AHEAD_LEAST < 10
    assert packing(crew, learns=True, total=total).wants("w", 9) is wants
    assert packing(crew, learns=True).wants("w", 9), "the width is the user's own choice"
    assert packing(crew, total=total).wants("w", 9), "nothing is learnt"


def test_what_is_not_enough_is_not_worth_a_pack(crew):
    """Two wait that fit."""
    here = packing(crew)
    assert here.fitting("w", 8, fewest=2) == [2, 4]
    assert here.fitting("w", 8, fewest=3) == [] and here.wants("w", 8, fewest=3)
    assert here.fitting("w", 1, fewest=2) == [] and not here.wants("w", 1, fewest=2)


def test_more_than_enough_is_expected_before_trials_are_drawn_ahead_of_results(crew):
    """Three of ten have that key, so four or five of the sixteen that may be drawn ahead."""
    ahead = {"learns": True, "total": 64}
    assert packing(crew, **ahead).wants("w", 12, fewest=2)
    assert not packing(crew, **ahead).wants("w", 12, fewest=3)
    assert packing(crew, learns=True).wants("w", 12, fewest=5)
    assert packing(crew, total=64).wants("w", 12, fewest=5)
    assert packing(crew, **ahead).wants("w", 12), "any number is enough"


def test_what_was_drawn_counts_once_and_for_good():
    """One key takes the place of the other, and with time its packs are to be expected."""
    crew = Assignments([0], 0.0)
    keys = "b" * 8 + "a" * 8
    here = packing(crew, keys, learns=True, total=36)
    expected = []
    for number in range(len(keys)):
        if number:
            crew.put(number)
        crew.hand_to("w", number)
        expected.append(here.wants("w", 8, fewest=2))
        assert here.wants("w", 8, fewest=2) is expected[-1]
        crew.drop(number)
        here.ended(number)
    assert expected == [True] * 8 + [False] * 6 + [True] * 2
