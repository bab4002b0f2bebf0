"""What is said of two results beside each other."""

from __future__ import annotations

import pytest
from scipy import stats

from hpo.bundle import Contents, Provenance
from hpo.records import Objective
from hpo.repeated import Repeated
from hpo.reuse.gain import gains, incomparable, welch


def contents(values, seeds=None, direction="minimize", data=None, metric="loss") -> Contents:
    return Contents(
        study="s",
        study_id="1",
        trainable="builtin",
        trial=0,
        config={},
        space={},
        objectives=(Objective(metric, direction),),
        seeds=tuple(seeds or range(len(values))),
        validation={metric: values},
        provenance=Provenance(python="3", platform="", packages={}, data=data or {}),
    )


def one(old, new):
    (gain,) = gains(old, new)
    return gain


def test_runs_from_the_same_seeds_are_paired():
    gain = one(contents((1.0, 5.0, 9.0)), contents((0.9, 4.91, 8.9)))
    assert gain.difference.n == 3 and gain.sign == 1 and "better" in gain.words
    assert one(contents((0.9, 4.91, 8.9)), contents((1.0, 5.0, 9.0))).sign == -1


def test_a_metric_to_maximize_turns_it_round():
    low, high = (1.0, 5.0, 9.0), (1.1, 5.09, 9.1)
    assert one(contents(low, None, "maximize"), contents(high, None, "maximize")).sign == 1
    assert one(contents(low), contents(high)).sign == -1


def test_other_seeds_are_not_paired():
    gain = one(contents((1.0, 5.0, 9.0)), contents((0.9, 4.91, 8.9), seeds=(7, 8, 9)))
    assert gain.sign == 0 and "cannot be told apart" in gain.words
    assert str(gain.difference).endswith("n = 3 and 3 independent runs")


def test_what_was_paired_says_so():
    gain = one(contents((1.0, 5.0, 9.0)), contents((0.9, 4.91, 8.9, 7.0)))
    assert str(gain.difference).endswith("n = 3 paired seeds")


@pytest.mark.parametrize("n", [(1, 1), (1, 5), (5, 1)])
def test_a_single_run_cannot_be_judged(n):
    old, new = ([float(value) for value in range(k)] for k in n)
    gain = one(contents(old), contents(new, seeds=range(50, 50 + n[1])))
    assert gain.sign == 0 and "n = 1" in gain.words and gain.difference is None


def repeated(*values: float) -> Repeated:
    return Repeated(dict(enumerate(values)))


def test_welch_is_that_of_scipy():
    old, new = (1.0, 2.0, 4.0), (5.0, 5.5, 9.0, 6.0)
    found = welch(repeated(*old), repeated(*new))
    expected = stats.ttest_ind(new, old, equal_var=False).confidence_interval()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_equal_values_without_spread_differ_as_they_differ():
    assert welch(repeated(1.0, 1.0), repeated(1.0, 1.0)).told_apart is False
    assert welch(repeated(1.0, 1.0), repeated(2.0, 2.0)).told_apart is True


def test_other_data_and_other_objectives_are_not_compared():
    here, there = contents((1.0,), data={"train": "a"}), contents((1.0,), data={"train": "b"})
    assert incomparable(here, there) == "they were measured on other data: train"
    assert incomparable(here, contents((1.0,))) is None, "not known is not changed"
    assert incomparable(here, contents((1.0,), metric="error")) == "they have other objectives"
