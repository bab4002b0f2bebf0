"""Trees and their draws."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trees import CONTINUOUS, stepped_ranges, trees

from hpo.space import Choices, Parameter, Range, Space, check, parse
from hpo.space.tree import labels

TREES = trees(stepped_ranges() | CONTINUOUS)


def space(tree: dict[str, Any]) -> Space:
    return check(parse(json.dumps(tree), "s.yaml"), None)


def anyhow(seed: int):
    rng = random.Random(seed)

    def choose(parameter: Parameter) -> float:
        if isinstance(parameter, Choices):
            return rng.randrange(len(parameter.options))
        return rng.uniform(parameter.low, parameter.high)

    return choose


@settings(max_examples=150, deadline=None)
@given(TREES, st.integers(0, 9))
def test_params_rebuild_their_config(tree, seed):
    found = space(tree)
    drawn = found.draw(anyhow(seed))

    def as_before(parameter: Parameter) -> float:
        value = drawn.params[parameter.name]
        return parameter.labels.index(value) if isinstance(parameter, Choices) else value

    again = found.draw(as_before)
    assert json.dumps(again.config) == json.dumps(drawn.config)
    assert again.params == drawn.params


@settings(max_examples=150, deadline=None)
@given(TREES, st.integers(0, 9))
def test_json_changes_nothing_in_a_config(tree, seed):
    drawn = space(tree).draw(anyhow(seed))
    for data in (drawn.config, dict(drawn.params)):
        assert repr(json.loads(json.dumps(data))) == repr(data)


@settings(max_examples=150, deadline=None)
@given(TREES, st.integers(0, 9))
def test_exactly_the_parameters_whose_branch_was_chosen_are_drawn(tree, seed):
    found = space(tree)
    drawn = found.draw(anyhow(seed))
    active = {
        here.parameter.name
        for here in found.parameters
        if all(
            drawn.params.get(choices.name) == choices.labels[index] for choices, index in here.given
        )
    }
    assert set(drawn.params) == active


@settings(max_examples=150, deadline=None)
@given(TREES)
def test_names_of_parameters_are_unique(tree):
    names = [here.parameter.name for here in space(tree).parameters]
    assert len(set(names)) == len(names)


OPTION = st.text("x#01", max_size=4) | st.integers(0, 1) | st.none() | st.booleans()


@settings(max_examples=200, deadline=None)
@given(st.lists(OPTION | OPTION.map(lambda kind: {"kind": kind}), min_size=1, max_size=6))
def test_labels_are_unique(options):
    assert len(set(labels(options))) == len(options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["relu", "tanh"], ("relu", "tanh")),
        ([{"kind": "sgd"}, {"kind": "adam", "lr": 1}], ("sgd", "adam")),
        ([{"kind": "sgd"}, {"kind": "sgd", "lr": 1}], ("sgd#0", "sgd#1")),
        ([1, 1.0, True, None, "1"], ("1#0", "1.0", "true", "null", "1#4")),
        ([[16, 16], [32]], ("[16, 16]", "[32]")),
        ([list(range(40)), None], ("#0", "null")),
    ],
)
def test_labels_are_short(options, expected):
    assert labels(options) == expected


@pytest.mark.parametrize(
    ("given_range", "values"),
    [
        (Range("x", 0.1, 0.5, step=0.1), [0.1, 0.2, 0.3, 0.4, 0.5]),
        (Range("x", 0, 0.3, step=0.1), [0.0, 0.1, 0.2, 0.3]),
        (Range("x", -0.3, 0.3, step=0.3), [-0.3, 0.0, 0.3]),
        (Range("x", 1e-7, 3e-7, step=1e-7), [1e-7, 2e-7, 3e-7]),
        (Range("x", 1, 4, integer=True), [1, 2, 3, 4]),
        (Range("x", 1, 7, step=3, integer=True), [1, 4, 7]),
        (Range("x", 1, 4, log=True, integer=True), [1, 2, 3, 4]),
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
