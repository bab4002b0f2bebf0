"""A space against the model of its configs: every mistake once, at its place, in words."""

from __future__ import annotations

import json
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models import Config, Lenient
from pydantic import BaseModel

from hpo.errors import StudyFileError
from hpo.space import Choices, Range, Space, check, parse, probes


def space(text: str, model: type[BaseModel] | None = Config) -> Space:
    return check(parse(dedent(text), "s.yaml"), model)


def mistakes(text: str, model: type[BaseModel] | None = Config) -> list[str]:
    with pytest.raises(StudyFileError) as caught:
        space(text, model)
    return [str(mistake) for mistake in caught.value.mistakes]


def param(found: Space, name: str) -> Range | Choices:
    return {here.parameter.name: here.parameter for here in found.parameters}[name]


E = "epochs: 3\n"
KNOWN = "epochs, lr, widths, layers, act, bias, optimizer, penalty, even, warmup, decay"

BOUNDS = "; the range must lie within the field's bounds"

BAD = {
    "missing field": ("lr: 0.1", ["1:1: space.epochs: is required; add it"]),
    "unknown key": (
        E + "learning: 1",
        [f"2:1: space.learning: there is no 'learning'; known: {KNOWN}"],
    ),
    "misspelt key": (
        E + "wramup: 0.1",
        ["2:1: space.wramup: there is no 'wramup'; did you mean 'warmup'?"],
    ),
    "misspelt key in a branch": (
        E + "optimizer: {choices: [{kind: sgd, momentun: 0.1}, {kind: adam}]}",
        ["2:35: space.optimizer.momentun: there is no 'momentun'; did you mean 'momentum'?"],
    ),
    "key of another branch": (
        E + "optimizer: {choices: [{kind: adam, momentum: 0.1}]}",
        ["2:36: space.optimizer.momentum: there is no 'momentum'; known: kind, betas"],
    ),
    "misspelt key in a list": (
        E + "layers: [{}, {stregth: 0.1}]",
        ["2:15: space.layers.1.stregth: there is no 'stregth'; did you mean 'strength'?"],
    ),
    "misspelt key in an optional part": (
        E + "penalty: {choices: [null, {stregth: 0.1}]}",
        ["2:28: space.penalty.stregth: there is no 'stregth'; did you mean 'strength'?"],
    ),
    "unknown kind": (
        E + "optimizer: {kind: sgdd}",
        [
            "2:12: space.optimizer: must be one of 'sgd', 'adam', 'clip', got 'sgdd'; did you mean"
            " 'sgd'?"
        ],
    ),
    "unknown kind in a choice": (
        E + "optimizer: {choices: [{kind: sgd}, {kind: adma}]}",
        [
            "2:36: space.optimizer: must be one of 'sgd', 'adam', 'clip', got 'adma'; did you mean"
            " 'adam'?"
        ],
    ),
    "no kind": (E + "optimizer: {momentum: 0}", ["2:12: space.optimizer: needs a 'kind'; add it"]),
    "wrong type": (E + "lr: fast", ["2:5: space.lr: must be a number, got 'fast'"]),
    "wrong type in a list": (
        E + "widths: [8, wide]",
        ["2:13: space.widths.1: must be a whole number, got 'wide'"],
    ),
    "wrong type in a choice": (
        E + "widths: {choices: [[8], 8]}",
        ["2:25: space.widths: must be a list, got 8"],
    ),
    "mapping for a number": (
        E + "lr: {value: 1}",
        [
            "2:5: space.lr: must be a number, got {'value': 1};"
            " a range is written {low: ..., high: ...}"
        ],
    ),
    "fraction in a whole field": (
        "epochs: 1.5",
        ["1:9: space.epochs: must be a whole number, got 1.5"],
    ),
    "unknown word": (
        E + "act: {choices: [relu, tahn]}",
        ["2:23: space.act: must be 'relu' or 'tanh', got 'tahn'; did you mean 'tanh'?"],
    ),
    "low above high": (
        E + "lr: {low: 1, high: 0.1}",
        [
            "2:11: space.lr: low < high must hold, got low=1, high=0.1; exchange them, or write a"
            " fixed value"
        ],
    ),
    "low equals high": (
        E + "lr: {low: 0.5, high: 0.5}",
        [
            "2:11: space.lr: low < high must hold, got low=0.5, high=0.5; exchange them, or write a"
            " fixed value"
        ],
    ),
    "log from zero": (
        E + "warmup: {low: 0, high: 1, log: true}",
        ["2:15: space.warmup: a log range needs low > 0, got low=0; raise low or remove log"],
    ),
    "step that does not divide": (
        E + "lr: {low: 0.1, high: 1, step: 0.4}",
        [
            "2:31: space.lr: step must divide high - low, got low=0.1, high=1, step=0.4; high=0.9"
            " would do"
        ],
    ),
    "step that does not divide whole numbers": (
        "epochs: {low: 1, high: 100, step: 7}",
        [
            "1:35: space.epochs: step must divide high - low, got low=1, high=100, step=7; high=99"
            " would do"
        ],
    ),
    "step wider than the range": (
        E + "lr: {low: 0.1, high: 1, step: 2}",
        [
            "2:31: space.lr: step must divide high - low, got low=0.1, high=1, step=2; it must not"
            " exceed it"
        ],
    ),
    "step with log": (
        E + "lr: {low: 0.1, high: 1, log: true, step: 0.1}",
        ["2:42: space.lr: log and step exclude each other; remove one"],
    ),
    "no step at all": (
        E + "lr: {low: 0.1, high: 1, step: 0}",
        ["2:31: space.lr: step > 0 must hold, got 0"],
    ),
    "a step too fine": (
        E + "lr: {low: 0.1, high: 1, step: 5e-324}",
        [
            "2:31: space.lr: step must be at least 2**-53 of the ends and of high - low, got"
            " step=5e-324"
        ],
    ),
    "log in words": (
        E + "lr: {low: 0.1, high: 1, log: natural}",
        ["2:30: space.lr: log must be true, false or complement, got 'natural'"],
    ),
    "log as a number": (
        E + "lr: {low: 0.1, high: 1, log: 1}",
        ["2:30: space.lr: log must be true, false or complement, got 1"],
    ),
    "log misspelt": (
        E + "lr: {low: 0.1, high: 0.9, log: compliment}",
        [
            "2:32: space.lr: log must be true, false or complement, got 'compliment'; did you mean"
            " 'complement'?"
        ],
    ),
    "complement up to one": (
        E + "optimizer: {kind: sgd, momentum: {low: 0.5, high: 1.0, log: complement}}",
        [
            "2:51: space.optimizer.momentum: a complement range needs high < 1, got high=1.0;"
            " lower high or remove log"
        ],
    ),
    "complement with step": (
        E + "lr: {low: 0.1, high: 0.9, log: complement, step: 0.1}",
        ["2:50: space.lr: log and step exclude each other; remove one"],
    ),
    "complement of whole numbers": (
        "epochs: {low: -3, high: 0, log: complement}",
        [
            "1:33: space.epochs: a complement range holds fractions, not whole numbers, got low=-3,"
            " high=0; remove log"
        ],
    ),
    "complement of numbers too small to leave one": (
        E + "warmup: {low: 1.0e-20, high: 1.0e-19, log: complement}",
        [
            "2:9: space.warmup: the ends of a range must differ in the logarithm, got low=1e-20,"
            " high=1e-19; remove log"
        ],
    ),
    "whole numbers that floats take for one another": (
        E + "even: {low: 0, high: 9007199254740994}",
        [
            "2:7: space.even: whole numbers in a range are at most 2**53, got low=0,"
            " high=9007199254740994"
        ],
    ),
    "a step that is nothing beside the ends": (
        E + "lr: {low: 0.5, high: 0.5000000000000002, step: 2.220446049250313e-17}",
        [
            "2:48: space.lr: step must be at least 2**-53 of the ends and of high - low, got"
            " step=2.220446049250313e-17"
        ],
    ),
    "an end in words": (
        E + "lr: {low: tiny, high: 1}",
        ["2:11: space.lr: low must be a finite number, got 'tiny'"],
    ),
    "an end no float can hold": (
        E + "lr: {low: 0.1, high: 1" + "0" * 400 + "}",
        ["2:22: space.lr: high must be a finite number, got 1" + "0" * 59],
    ),
    "wider than any float": (
        E + "lr: {low: -1.0e308, high: 1.0e308}",
        ["2:5: space.lr: high - low must be a finite number, got low=-1e+308, high=1e+308"],
    ),
    "one end": (
        E + "lr: {low: 0.1}",
        ["2:5: space.lr: a range needs both ends, high is missing; add high: NUMBER"],
    ),
    "misspelt range key": (
        E + "lr: {low: 0.1, high: 1, stepp: 0.1}",
        ["2:25: space.lr: a range has low, high, log and step, got 'stepp'; did you mean 'step'?"],
    ),
    "misspelt end": (
        E + "lr: {low: 0.1, hihg: 1}",
        [
            "2:5: space.lr: a range needs both ends, high is missing; add high: NUMBER",
            "2:16: space.lr: a range has low, high, log and step, got 'hihg'; did you mean 'high'?",
        ],
    ),
    "fractional range in a whole field": (
        "epochs: {low: 1, high: 2.5}",
        ["1:9: space.epochs: the field holds whole numbers, got low=1, high=2.5"],
    ),
    "fractional step in a whole field": (
        "epochs: {low: 1, high: 2, step: 0.5}",
        ["1:9: space.epochs: the field holds whole numbers, got low=1, high=2, step=0.5"],
    ),
    "low outside": (
        "epochs: {low: 0, high: 10}",
        ["1:15: space.epochs: low must be >= 1, got 0" + BOUNDS],
    ),
    "high outside": (
        "epochs: {low: 1, high: 101}",
        ["1:24: space.epochs: high must be <= 100, got 101" + BOUNDS],
    ),
    "both ends outside": (
        "epochs: {low: 0, high: 101}",
        [
            "1:15: space.epochs: low must be >= 1, got 0" + BOUNDS,
            "1:24: space.epochs: high must be <= 100, got 101" + BOUNDS,
        ],
    ),
    "outside in a branch": (
        E + "optimizer: {choices: [{kind: adam}, {kind: sgd, momentum: {low: 0.5, high: 1}}]}",
        ["2:76: space.optimizer.momentum: high must be < 1.0, got 1.0" + BOUNDS],
    ),
    "range for words": (
        E + "act: {low: 0.5, high: 1.5}",
        [
            "2:12: space.act: low must be 'relu' or 'tanh', got 0.5" + BOUNDS,
            "2:23: space.act: high must be 'relu' or 'tanh', got 1.5" + BOUNDS,
        ],
    ),
    "choices that are none": (
        E + "act: {choices: relu}",
        [
            "2:16: space.act: choices must be a list of at least one value, got 'relu'; write:"
            " choices: [a, b]"
        ],
    ),
    "no choices": (
        E + "act: {choices: []}",
        [
            "2:16: space.act: choices must be a list of at least one value, got []; write: choices:"
            " [a, b]"
        ],
    ),
    "a choice twice": (
        E + "act: {choices: [relu, tanh, relu]}",
        ["2:29: space.act: choices must differ, got 'relu' twice; remove one"],
    ),
    "a mapping twice": (
        E + "penalty: {choices: [{strength: 1}, null, {strength: 1}]}",
        ["2:42: space.penalty: choices must differ, got {'strength': 1} twice; remove one"],
    ),
    "a value refused by a validator": (
        E + "even: 3",
        ["2:7: space.even: must be even, got 3"],
    ),
    "a choice refused by a validator": (
        E + "even: {choices: [2, 3, 4]}",
        ["2:21: space.even: must be even, got 3"],
    ),
    "an end refused by a validator": (
        E + "even: {low: 2, high: 5}",
        ["2:22: space.even: high must be even, got 5" + BOUNDS],
    ),
    "a fixed combination": (
        E + "warmup: 0.6\ndecay: 0.6",
        [
            "1:1: space: warmup + decay must be at most 1, got {'epochs': 3, 'warmup': 0.6,"
            " 'decay': 0.6}"
        ],
    ),
    "true for a number": (
        "epochs: true\nlr: {choices: [0.1, false]}\nbias: true\nwidths: [8, true]",
        [
            "1:9: space.epochs: must be a number, got true",
            "2:21: space.lr: must be a number, got false",
            "4:13: space.widths.1: must be a number, got true",
        ],
    ),
    "below a kind that is a key, too": (
        E + "optimizer: {kind: clip, clip: {momentum: 2}}",
        ["2:42: space.optimizer.clip.momentum: must be < 1.0, got 2"],
    ),
}


def placed(expected: list[str]) -> list[str]:
    return [f"s.yaml:{message}" for message in expected]


@pytest.mark.parametrize(("text", "expected"), BAD.values(), ids=BAD.keys())
def test_mistake(text, expected):
    assert mistakes(text) == placed(expected)


UNKNOWN = [name for name in BAD if "key" in name and "range" not in name and "kind" not in name]


@pytest.mark.parametrize("name", UNKNOWN)
def test_keys_that_a_model_would_ignore_are_mistakes(name):
    text, expected = BAD[name]
    assert mistakes(text, Lenient) == placed(expected)


def test_every_mistake_at_once_and_each_once():
    text = """\
        epoch: 3
        lr: {low: 1, high: 0}
        widths: [{low: 1, high: 8}, x]
        optimizer:
          choices:
            - {kind: sgd, momentum: {low: -1, high: 0.5}}
            - {kind: adam, beta: 1, betas: [0.9]}
        penalty: {strength: {choices: [0.1, 2]}}
    """
    assert mistakes(text) == placed(
        [
            "1:1: space.epoch: there is no 'epoch'; did you mean 'epochs'?",
            "1:1: space.epochs: is required; add it",
            "2:11: space.lr: low < high must hold, got low=1, high=0; exchange them, or write a"
            " fixed value",
            "3:29: space.widths.1: must be a whole number, got 'x'",
            "6:35: space.optimizer.momentum: low must be >= 0.0, got -1.0" + BOUNDS,
            "7:20: space.optimizer.beta: there is no 'beta'; did you mean 'betas'?",
            "7:36: space.optimizer.betas.1: is required; add it",
            "8:37: space.penalty.strength: must be <= 1.0, got 2",
        ]
    )


def test_mistakes_of_a_value_that_is_drawn_often_come_once():
    text = E + "act: tahn\nlr: {low: 0.1, high: 1}\nbias: {choices: [true, false]}"
    assert len(mistakes(text)) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", "1:1: space: must be a mapping, the config with distributions in it"),
        ("[1]", "1:1: space: must be a mapping, the config with distributions in it"),
        ("{low: 0, high: 1}", "1:1: space: must be a mapping, got 0"),
        ("{choices: [{a: 1}, 2]}", "1:20: space: must be a mapping, got 2"),
        ("{'a.b': {low: 0, high: 1}, a: {b: 3}}", None),
    ],
)
def test_configs_without_a_model_are_mappings(text, expected):
    if expected is None:
        assert space(text, None).parameters
    else:
        assert mistakes(text, None) == [f"s.yaml:{expected}"]


def test_parameters_of_one_name_are_refused():
    text = "{'a.b': {low: 0, high: 1}, a: {b: {low: 0, high: 1}}}"
    message = "2 parameters are called 'a.b'; rename their keys"
    assert mistakes(text, None) == placed(
        [f"1:9: space.a.b: {message}", f"1:35: space.a.b: {message}"]
    )


@pytest.mark.parametrize(
    ("text", "integer"),
    [
        ("epochs: {low: 1, high: 10}", True),
        ("epochs: {low: 1.0, high: 10.0}", True),
        ("lr: {low: 0.5, high: 1}", False),
        ("decay: {low: 0, high: 1}", False),
        ("optimizer: {kind: sgd, momentum: {low: 0, high: 0.5}}", False),
        ("widths: [{low: 1, high: 2}]", True),
        ("penalty: {strength: {low: 0, high: 1}}", False),
        ("layers: [{strength: {low: 0, high: 1}}]", False),
        ("optimizer: {kind: adam, betas: [{low: 0, high: 1}, 0.9]}", False),
    ],
)
def test_whole_numbers_where_the_field_holds_them(text, integer):
    found = space(text if "epochs" in text else E + text)
    (here,) = found.parameters
    assert isinstance(here.parameter, Range)
    assert here.parameter.integer is integer
    drawn = found.draw(lambda parameter: parameter.low)
    assert type(drawn.params[here.parameter.name]) is (int if integer else float)


@pytest.mark.parametrize(
    ("text", "integer"), [("x: {low: 0, high: 1}", True), ("x: {low: 0, high: 1.0}", False)]
)
def test_without_a_model_numbers_are_as_they_are_written(text, integer):
    (here,) = space(text, None).parameters
    assert here.parameter.integer is integer


def test_parameters_are_named_by_their_path_and_branch():
    found = space(
        """\
        epochs: {low: 1, high: 10}
        widths: {choices: [[4], [{low: 1, high: 8}, 2]]}
        optimizer:
          choices:
            - {kind: sgd, momentum: {low: 0, high: 0.9}}
            - {kind: adam, betas: [{low: 0.8, high: 0.9}, {choices: [0.99, 0.999]}]}
        """
    )
    names = [here.parameter.name for here in found.parameters]
    assert names == [
        "epochs",
        "widths",
        'widths.[{"low": 1, "high": 8}, 2].0',
        "optimizer",
        "optimizer.sgd.momentum",
        "optimizer.adam.betas.0",
        "optimizer.adam.betas.1",
    ]
    assert len(set(names)) == len(names)
    drawn = found.draw(lambda p: 1 if isinstance(p, Choices) else p.low)
    assert set(drawn.params) == {*names} - {"optimizer.sgd.momentum"}
    assert drawn.params["optimizer"] == "adam"
    assert drawn.config["optimizer"] == {"kind": "adam", "betas": [0.8, 0.999]}


def test_a_field_called_low_is_no_range():
    class Bounds(BaseModel):
        low: float = 0
        name: str = ""

    class Outer(BaseModel):
        bounds: Bounds

    assert not space("bounds: {low: 1, name: x}", Outer).parameters


def test_combinations_are_accepted_when_enough_of_the_space_is_valid():
    text = E + "warmup: {low: 0, high: 1}\ndecay: {low: 0, high: 1}"
    found = space(text)
    assert found.rejects({"epochs": 3, "warmup": 0.9, "decay": 0.9}) == (
        "warmup + decay must be at most 1"
    )
    assert len(found.parameters) == 2


@pytest.mark.parametrize("text", ["warmup: {low: 0.55, high: 1}\ndecay: {low: 0.42, high: 1}"])
def test_a_space_that_is_hardly_ever_valid_is_refused_in_the_validators_words(text):
    (found,) = mistakes(E + text)
    assert found.startswith("s.yaml:1:1: space: at least 5% of the space must be valid, ")
    assert "most often: warmup + decay must be at most 1; narrow the ranges" in found


def test_a_large_range_is_checked_without_listing_it():
    class Seeded(BaseModel):
        seed: int

    assert space("seed: {low: 0, high: 9000000000000}", Seeded).parameters


def test_probes_take_every_choice_and_both_ends():
    found = space(
        """\
        epochs: {low: 1, high: 10}
        optimizer:
          choices: [{kind: sgd, momentum: {low: 0, high: 0.5}}, {kind: adam}]
        """
    )
    seen = [(d.config["epochs"], json.dumps(d.config["optimizer"])) for d in probes(found.root)]
    assert {epochs for epochs, _ in seen} == {1, 10}
    assert {optimizer for _, optimizer in seen} == {
        '{"kind": "sgd", "momentum": 0.0}',
        '{"kind": "sgd", "momentum": 0.5}',
        '{"kind": "adam"}',
    }


SCALARS = st.sampled_from(
    [None, True, 0, 1, -1, 0.5, 3, 10**400, 1e308, "", "sgd", "x", "relu", 2**63, -1e308]
)
KEYS = st.sampled_from(
    "low high log step choices kind lr epochs optimizer widths a.b momentum penalty strength layers"
    " clip lwo".split()
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(KEYS, TREES, max_size=4), st.sampled_from([Config, Lenient, None]))
def test_any_tree_is_a_space_or_a_study_file_error(tree: dict[str, Any], model):
    document = parse(json.dumps(tree), "s.yaml")
    try:
        found = check(document, model)
    except StudyFileError as error:
        assert len({(m.place, m.path, m.message) for m in error.mistakes}) == len(error.mistakes)
    else:
        for drawn in probes(found.root):
            json.dumps(drawn.config)
