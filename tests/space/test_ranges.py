"""Ranges: their values, their scales."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hpo.space import Range


@pytest.mark.parametrize(
    ("given_range", "values"),
    [
        (Range("x", 0.1, 0.5, step=0.1), [0.1, 0.2, 0.3, 0.4, 0.5]),
        (Range("x", 0, 0.3, step=0.1), [0.0, 0.1, 0.2, 0.3]),
        (Range("x", -0.3, 0.3, step=0.3), [-0.3, 0.0, 0.3]),
        (Range("x", 1e-7, 3e-7, step=1e-7), [1e-7, 2e-7, 3e-7]),
        (Range("x", 1, 4, integer=True), [1, 2, 3, 4]),
        (Range("x", 1, 7, step=3, integer=True), [1, 4, 7]),
        (Range("x", 1, 4, scale="log", integer=True), [1, 2, 3, 4]),
        (Range("x", 10**17, 10**17 + 2, integer=True), [10**17, 10**17 + 1, 10**17 + 2]),
    ],
)
def test_values_of_a_range_are_as_they_would_be_written(given_range, values):
    assert given_range.count == len(values)
    found = [given_range.value(k) for k in range(len(values))]
    assert repr(found) == repr(values)
    off = 0 if given_range.integer else 1e-12
    assert [given_range.nearest(value + off) for value in values] == values


def test_a_continuous_range_has_no_number_of_values():
    assert Range("x", 0.0, 1.0).count is None
    assert Range("x", 0.0, 1.0).nearest(0.123456789) == 0.123456789


ENDS = st.floats(-1e6, 1e6, allow_subnormal=False)
UNIT = st.floats(0, 1)


@st.composite
def ranges(draw: st.DrawFn) -> Range:
    """Every kind of range that a study file may have."""
    kind = draw(st.sampled_from(["linear", "log", "complement", "stepped", "whole", "whole log"]))
    if kind == "stepped":
        low, count = draw(st.integers(-50, 50)), draw(st.integers(1, 60))
        step = draw(st.sampled_from([0.1, 0.25, 0.3, 1e-4, 7.0]))
        return Range("x", round(low * step, 9), round((low + count) * step, 9), step=step)
    if kind == "whole":
        low, step = draw(st.integers(-50, 50)), draw(st.integers(1, 4))
        return Range("x", low, low + step * draw(st.integers(1, 60)), step=step, integer=True)
    if kind == "whole log":
        low = draw(st.integers(1, 50))
        return Range("x", low, low + draw(st.integers(1, 10**6)), scale="log", integer=True)
    low, high = sorted([draw(ENDS), draw(ENDS)])
    if kind == "log":
        low, high = math.exp(low / 1e4), math.exp(high / 1e4)
    if kind == "complement":
        low, high = 1 - math.exp(-low / 1e5), 1 - math.exp(-high / 1e5)
        assume(1 - low > 1 - high)
    assume(high - low > 1e-9 * max(abs(low), abs(high)))
    return Range("x", low, high, scale=kind)


@settings(max_examples=500, deadline=None)
@given(ranges(), UNIT, UNIT)
def test_the_unit_interval_is_the_range_on_its_scale(r, a, b):
    value = r.from_unit(a)
    assert r.low <= value <= r.high
    assert r.holds(value)
    assert type(value) is (int if r.integer else float)
    assert (r.from_unit(0.0), r.from_unit(1.0)) == (r.low, r.high)
    assert (r.to_unit(r.low), r.to_unit(r.high)) == (0.0, 1.0)
    assert 0 <= r.to_unit(value) <= 1
    if r.count is not None:
        assert r.from_unit(r.to_unit(value)) == value
    else:
        assert r.to_unit(value) == pytest.approx(a, abs=1e-5)
    if a <= b:
        assert value <= r.from_unit(b)


@pytest.mark.parametrize(
    ("r", "units", "values"),
    [
        (Range("x", 0.0, 4.0), [0.25, 0.5, 0.75], [1.0, 2.0, 3.0]),
        (Range("x", 1e-4, 1.0, "log"), [0.25, 0.5, 0.75], [1e-3, 1e-2, 1e-1]),
        (Range("x", 0.9, 0.9999, "complement"), [1 / 3, 2 / 3], [0.99, 0.999]),
        (Range("x", -99.0, 0.0, "complement"), [0.5], [-9.0]),
        (Range("x", 0.1, 0.3, step=0.1), [0.32, 0.34, 0.66, 0.68], [0.1, 0.2, 0.2, 0.3]),
        (Range("x", 1, 4, integer=True), [0.24, 0.26, 0.74, 0.76], [1, 2, 3, 4]),
    ],
)
def test_places_in_the_unit_interval(r, units, values):
    assert [r.from_unit(unit) for unit in units] == pytest.approx(values)


def test_whole_numbers_on_the_log_scale_share_it_like_rounded_numbers():
    r = Range("x", 1, 3, "log", integer=True)
    ends = [math.log(k) / math.log(7) for k in (1, 3, 5, 7)]  # of 0.5, 1.5, 2.5, 3.5
    for value, start, end in zip((1, 2, 3), ends[:-1], ends[1:], strict=True):
        assert r.from_unit(start + 1e-9) == r.from_unit(end - 1e-9) == value


@settings(max_examples=300, deadline=None)
@given(ranges(), UNIT)
def test_what_a_library_without_complements_is_given_comes_back(r, unit):
    value = r.from_unit(unit)
    least, most = r.internal_bounds
    assert least <= r.internal(value) <= most
    assert {r.external(least), r.external(most)} == {r.low, r.high}
    back = r.external(r.internal(value))
    assert r.low <= back <= r.high
    assert back == pytest.approx(value, abs=1e-15 * max(1.0, abs(value)))
    if value >= 0.5 or r.scale != "complement":
        assert back == value


def test_a_complement_is_seen_as_the_distance_from_one():
    r = Range("x", 0.75, 0.9375, "complement")
    assert r.internal_bounds == (0.0625, 0.25)
    assert (r.internal(0.875), r.external(0.125)) == (0.125, 0.875)


@pytest.mark.parametrize(
    ("r", "inside", "outside"),
    [
        (Range("x", 0.1, 0.5), [0.1, 0.3, 0.5], [0.09, 0.51, math.nan, math.inf, -math.inf]),
        (
            Range("x", 0.1, 0.5, step=0.1),
            [0.1, 0.1 + 0.2, 0.5, 0.5 + 1e-16],
            [0.15, 0.6, 0.0, 0.300001, math.nan, math.inf],
        ),
        (Range("x", 1, 7, step=3, integer=True), [1, 4, 7, 4.0], [2, 10, -2, 4.5, 10**400]),
        (Range("x", 1, 9, "log", integer=True), [1, 2, 9], [0, 10, 1.5, math.nan]),
        (Range("x", 1e6, 1e6 + 1, step=0.001), [1e6 + 0.001], [1e6 + 0.0005, 1e6 + 0.0011]),
    ],
)
def test_the_values_that_a_range_holds(r, inside, outside):
    assert all(r.holds(value) for value in inside)
    assert not any(r.holds(value) for value in outside)


@pytest.mark.parametrize(
    "r", [Range("x", 0, 1, step=1 / 3), Range("x", 0.0, 0.3 - 1e-11, step=0.1)]
)
def test_a_step_that_misses_the_end_by_a_rounding_does_not_lead_past_it(r):
    assert r.value(r.count - 1) == r.high
