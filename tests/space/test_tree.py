"""Trees and their draws."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trees import SPACES, anyhow, as_chosen, space

from hpo.space.tree import labels


@settings(max_examples=150, deadline=None)
@given(SPACES, st.integers(0, 9))
def test_params_rebuild_their_config(tree, seed):
    found = space(tree)
    drawn = found.draw(anyhow(seed))
    chosen = as_chosen(found, drawn.params)
    again = found.draw(lambda parameter: chosen[parameter.name])
    assert json.dumps(again.config) == json.dumps(drawn.config)
    assert again.params == drawn.params


@settings(max_examples=150, deadline=None)
@given(SPACES, st.integers(0, 9))
def test_json_changes_nothing_in_a_config(tree, seed):
    drawn = space(tree).draw(anyhow(seed))
    for data in (drawn.config, dict(drawn.params)):
        assert repr(json.loads(json.dumps(data))) == repr(data)


@settings(max_examples=150, deadline=None)
@given(SPACES, st.integers(0, 9))
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
@given(SPACES)
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


def test_an_option_with_one_key_gives_its_name_once():
    found = space({"l2": {"choices": [None, {"strength": {"low": 0.0, "high": 1.0}}]}})
    assert [here.parameter.name for here in found.parameters] == ["l2", "l2.strength"]
    assert found.parameters[0].parameter.labels == ("null", "strength")
