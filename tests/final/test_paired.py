"""Paired differences: against scipy's paired t test, and where there is little to pair."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hpo.final.paired import Difference, alike, difference, verdict
from hpo.records import Objective
from hpo.repeated import Repeated

VALUES = st.lists(
    st.tuples(st.floats(-10, 10), st.floats(-10, 10)), min_size=2, max_size=12
).filter(lambda pairs: len({round(b - a, 6) for a, b in pairs}) > 1)


def repeated(*values):
    return Repeated(dict(enumerate(values)))


@given(VALUES)
def test_the_interval_is_that_of_the_paired_t_test(pairs):
    first, second = (list(side) for side in zip(*pairs, strict=True))
    found = difference(repeated(*first), repeated(*second))
    expected = stats.ttest_rel(second, first).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-6)
    assert found.n == len(pairs)


def test_the_standard_error_is_that_of_the_mean():
    values = repeated(1.0, 2.0, 4.0)
    assert values.standard_error == pytest.approx(stats.sem([1.0, 2.0, 4.0]))
    assert math.isnan(repeated(1.0).standard_error)
    assert repeated(1.0, 2.0, 3.0).standard_deviation == 1.0
    assert str(repeated(1.0, 2.0, 3.0)) == "2 ± 0.58 (n = 3)" and str(repeated(1.0)) == "1 (n = 1)"


def test_only_seeds_that_both_have_are_paired():
    first, second = Repeated({0: 1.0, 1: 2.0, 2: 9.0}), Repeated({1: 1.5, 2: 8.4, 3: 0.0})
    found = difference(first, second)
    assert found.n == 2 and found.mean == pytest.approx(-0.55)
    with pytest.raises(ValueError, match="no seed in common"):
        difference(first, Repeated({7: 1.0}))


def test_one_seed_tells_nothing_apart():
    assert not difference(repeated(1.0), repeated(100.0)).told_apart


def test_equal_differences_are_told_apart_unless_they_are_none():
    assert difference(repeated(1.0, 2.0), repeated(1.5, 2.5)).told_apart
    assert not difference(repeated(1.0, 2.0), repeated(1.0, 2.0)).told_apart


@pytest.mark.parametrize(
    ("direction", "low", "high", "words"),
    [
        ("minimize", -0.3, -0.1, "b is better than a"),
        ("minimize", 0.1, 0.3, "a is better than b"),
        ("maximize", 0.1, 0.3, "b is better than a"),
        ("maximize", -0.1, 0.3, "a and b cannot be told apart"),
    ],
)
def test_the_verdict_follows_the_direction(direction, low, high, words):
    found = Difference((low + high) / 2, low, high, 5)
    assert verdict(found, Objective("metric", direction), "a", "b") == words


def test_alike_are_those_within_the_noise():
    winner = repeated(1.0, 1.2, 1.1, 0.9)
    close = repeated(1.1, 1.1, 1.2, 0.95)
    far = repeated(2.0, 2.3, 2.1, 1.8)
    assert alike([far, winner, close], 1) == [2]
