"""From a config back to the point of the space that it is."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trees import SPACES, anyhow, as_chosen, space

from hpo.errors import InputError
from hpo.space import OutsideSpace, locate


def refusal(tree: dict[str, Any], config: Any, partial: bool = False) -> str:
    with pytest.raises(OutsideSpace) as caught:
        locate(space(tree).root, config, partial)
    return str(caught.value)


@settings(max_examples=250, deadline=None)
@given(SPACES, st.integers(0, 9))
def test_what_was_drawn_is_located_and_drawn_again(tree, seed):
    found = space(tree)
    drawn = found.draw(anyhow(seed))
    chosen = locate(found.root, json.loads(json.dumps(drawn.config)))
    again = found.draw(lambda parameter: chosen[parameter.name])
    assert json.dumps(again.config) == json.dumps(drawn.config)
    assert locate(found.root, again.config) == chosen
    assert set(chosen) == set(again.params)


TAGGED = st.recursive(
    st.sampled_from([{"low": 0.1, "high": 0.9, "step": 0.2}, {"low": 1e-3, "high": 1, "log": True}])
    | st.sampled_from([{"low": 0.5, "high": 0.99, "log": "complement"}, {"low": 1, "high": 9}])
    | st.sampled_from([None, True, 1, 1.0, "x", [1]]),
    lambda inner: st.lists(inner, min_size=1, max_size=3).map(
        lambda options: {
            "choices": [None, *({"kind": str(i), "v": o} for i, o in enumerate(options))]
        }
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from("abc"), TAGGED), st.integers(0, 9))
def test_where_options_differ_in_their_kind_the_very_choices_are_found(tree, seed):
    found = space(tree)
    drawn = found.draw(anyhow(seed))
    assert locate(found.root, drawn.config) == as_chosen(found, drawn.params)


@settings(max_examples=200, deadline=None)
@given(SPACES, st.integers(0, 9), st.data())
def test_part_of_a_config_fixes_the_parameters_in_that_part(tree, seed, data):
    found = space(tree)
    config = found.draw(anyhow(seed)).config
    kept = {key: value for key, value in config.items() if data.draw(st.booleans())}
    chosen = locate(found.root, kept, partial=True)

    other = anyhow(seed + 1)
    again = found.draw(lambda p: chosen[p.name] if p.name in chosen else other(p))
    assert json.dumps({key: again.config[key] for key in kept}) == json.dumps(kept)


BRANCHES = {
    "lr": {"low": 0.001, "high": 1.0, "log": True},
    "optimizer": {
        "choices": [
            {"kind": "sgd", "momentum": {"low": 0.5, "high": 0.99, "log": "complement"}},
            {"kind": "adam", "betas": [0.9, {"choices": [0.99, 0.999]}]},
        ]
    },
    "l2": {"choices": [None, {"strength": {"low": 0.1, "high": 0.5, "step": 0.1}}]},
    "width": {"low": 8, "high": 32, "step": 8},
    "bias": True,
}
SGD = {
    "lr": 0.1,
    "optimizer": {"kind": "sgd", "momentum": 0.75},
    "l2": None,
    "width": 16,
    "bias": True,
}
ADAM = {
    **SGD,
    "optimizer": {"kind": "adam", "betas": [0.9, 0.999]},
    "l2": {"strength": 0.1 + 0.2},
}


def test_chosen_are_values_and_indices_by_name():
    root = space(BRANCHES).root
    assert locate(root, SGD) == {
        "lr": 0.1,
        "optimizer": 0,
        "optimizer.sgd.momentum": 0.75,
        "l2": 0,
        "width": 16,
    }
    assert locate(root, ADAM) == {
        "lr": 0.1,
        "optimizer": 1,
        "optimizer.adam.betas.1": 1,
        "l2": 1,
        "l2.strength": 0.3,
        "width": 16,
    }


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"lr": 2.0}, "lr: must be a number from 0.001 to 1.0, got 2.0"),
        ({"lr": "fast"}, "lr: must be a number from 0.001 to 1.0, got 'fast'"),
        ({"lr": True}, "lr: must be a number from 0.001 to 1.0, got True"),
        ({"width": 12}, "width: must be a whole number from 8 to 32 in steps of 8, got 12"),
        ({"width": 16.5}, "width: must be a whole number from 8 to 32 in steps of 8, got 16.5"),
        ({"bias": 1}, "bias: must be True, got 1"),
        ({"bais": 1}, "bais: there is no 'bais'; did you mean 'bias'?"),
        ({"l2": {}}, "l2.strength: is missing; add it"),
        (
            {"l2": {"strength": 0.25}},
            "l2.strength: must be a number from 0.1 to 0.5 in steps of 0.1, got 0.25",
        ),
        (
            {"optimizer": {"kind": "rmsprop"}},
            "optimizer: must be one of sgd, adam, got {'kind': 'rmsprop'}",
        ),
        (
            {"optimizer": {"kind": "adam", "betas": [0.9]}},
            "optimizer.betas: must be a list of 2, got [0.9]",
        ),
        (
            {"optimizer": {"kind": "adam", "betas": [0.9, 0.9]}},
            "optimizer.betas.1: must be one of 0.99, 0.999, got 0.9",
        ),
        (
            {"optimizer": {"kind": "adam", "momentum": 0.75}},
            "optimizer.betas: is missing; add it",
        ),
        ({"optimizer": None}, "optimizer: must be one of sgd, adam, got None"),
    ],
)
def test_what_is_outside(change, expected):
    assert refusal(BRANCHES, {**SGD, **change}) == expected


def test_a_missing_key_is_refused_unless_part_of_a_config_is_meant():
    config = {key: value for key, value in SGD.items() if key != "width"}
    assert refusal(BRANCHES, config) == "width: is missing; add it"
    assert "width" not in locate(space(BRANCHES).root, config, partial=True)


def test_parts_lead_to_the_first_option_that_they_fit():
    root = space(BRANCHES).root
    assert locate(root, {}, partial=True) == {}
    assert locate(root, {"optimizer": {}}, partial=True) == {"optimizer": 0}
    assert locate(root, {"optimizer": {"kind": "adam"}}, partial=True) == {"optimizer": 1}
    assert locate(root, {"optimizer": {"betas": [0.9, 0.99]}}, partial=True) == {
        "optimizer": 1,
        "optimizer.adam.betas.1": 0,
    }
    assert refusal(BRANCHES, {"optimizer": {"beta": 1}}, partial=True).startswith("optimizer: ")


@pytest.mark.parametrize(
    ("fixed", "given", "fits"),
    [
        (1, 1.0, True),
        (1.0, 1, True),
        (1, True, False),
        (True, 1, False),
        (0, False, False),
        (None, False, False),
        (0, None, False),
        ("1", 1, False),
        (10**400, 10**400, True),
        ([1, "x"], [1.0, "x"], True),
        ({"a": 1}, {"a": True}, False),
        ([], {}, False),
        ([1], [1, 1], False),
    ],
)
def test_numbers_are_equal_as_numbers_and_all_else_as_json(fixed, given, fits):
    if fits:
        assert locate(space({"x": fixed}).root, {"x": given}) == {}
    else:
        assert refusal({"x": fixed}, {"x": given}).startswith("x")


@pytest.mark.parametrize(
    ("options", "value", "index"),
    [
        ([1, 1.0, True], 1, 0),
        ([1, 1.0, True], 1.0, 1),
        ([1, 1.0, True], True, 2),
        ([{"low": 0.0, "high": 2.0}, 1], 1, 1),
        ([{"low": 0.0, "high": 2.0}, 1.0], 1, 0),
        ([{"low": 0, "high": 2}, {"low": 0.0, "high": 2.0}], 1.0, 1),
        ([0.0, -0.0], -0.0, 1),
        ([[1, 2], [1.0, 2]], [1.0, 2], 1),
        ([{"v": {"choices": [1, 2]}}, {"v": {"choices": [1.0, 2]}}], {"v": 1.0}, 1),
        ([None, {}, []], {}, 1),
    ],
)
def test_of_options_that_fit_the_one_of_the_very_same_json_is_taken(options, value, index):
    assert locate(space({"x": {"choices": options}}).root, {"x": value})["x"] == index


def test_the_refusal_is_an_input_error_with_its_place():
    error = OutsideSpace(("a", 0, "b"), "must be 1, got 2")
    assert isinstance(error, InputError)
    assert (error.path, error.message) == ("a.0.b", "must be 1, got 2")
    assert str(pickle.loads(pickle.dumps(error))) == "a.0.b: must be 1, got 2"
