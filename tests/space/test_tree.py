"""Trees and their draws."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trees import CONTINUOUS, stepped_ranges, trees

from hpo.space import Choices, Parameter, Space, check, parse
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
