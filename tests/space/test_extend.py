"""One space as a growth of another."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from trees import SPACES, anyhow, space

from hpo.space import extension, locate

ADDED = st.sampled_from([{"kind": "new"}, "new", {"low": 100.0, "high": 200.0}, [[]]])


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    return extension(space(before).root, space(now).root)


@st.composite
def grown(draw: st.DrawFn, tree: Any) -> Any:
    """The tree with some of its ranges wider and some of its choices more, or in another order."""
    if isinstance(tree, dict) and "low" in tree:
        log = tree.get("log", False)
        by = draw(st.integers(0, 2)) * tree.get("step", 1)
        more = draw(st.integers(0, 2)) * tree.get("step", 1)
        if log == "complement":
            high = tree["high"] + (1 - tree["high"]) / 2 if more else tree["high"]
            return {**tree, "low": tree["low"] - by, "high": high}
        low = tree["low"] / 2 if log is True and by and isinstance(tree["low"], float) else None
        if log is not True:
            low = round(tree["low"] - by, 9)
        high = round(tree["high"] + more, 9)
        return {**tree, "low": tree["low"] if low is None else low, "high": high}
    if isinstance(tree, dict) and set(tree) == {"choices"}:
        options = [draw(grown(option)) for option in tree["choices"]]
        added = draw(st.lists(ADDED, max_size=1))
        return {"choices": draw(st.permutations([*options, *added]))}
    if isinstance(tree, dict):
        return {key: draw(grown(child)) for key, child in tree.items()}
    if isinstance(tree, list):
        return [draw(grown(child)) for child in tree]
    return tree


@settings(max_examples=120, deadline=None)
@given(st.data(), st.integers(0, 9))
def test_in_a_grown_space_every_old_config_is_found(data, seed):
    tree = data.draw(SPACES)
    larger = data.draw(grown(tree))
    assume(all(len(set(map(json.dumps, o))) == len(o) for o in all_choices(larger)))
    before, now = space(tree), space(larger)
    assert extension(before.root, now.root) == []
    locate(now.root, before.draw(anyhow(seed)).config)


def all_choices(tree: Any) -> list[list[Any]]:
    if isinstance(tree, dict) and set(tree) == {"choices"}:
        return [tree["choices"], *(c for o in tree["choices"] for c in all_choices(o))]
    children = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    return [c for child in children for c in all_choices(child)]


@settings(max_examples=150, deadline=None)
@given(SPACES, SPACES, st.data(), st.integers(0, 9))
def test_whatever_counts_as_a_growth_has_every_old_config(a, b, data, seed):
    """Of two trees made of each other's parts, so that some are growths by accident."""
    spliced = copy.deepcopy(a)
    if spliced and b:
        key = data.draw(st.sampled_from(sorted(spliced)))
        spliced[key] = data.draw(st.sampled_from(list(b.values())))
    for before, now in ((space(a), space(spliced)), (space(spliced), space(a))):
        lines = extension(before.root, now.root)
        assert all(line.startswith("space") and " -> " in line for line in lines)
        if not lines:
            locate(now.root, before.draw(anyhow(seed)).config)


@settings(max_examples=100, deadline=None)
@given(SPACES)
def test_a_space_is_a_growth_of_itself(tree):
    assert changes(tree, copy.deepcopy(tree)) == []


SGD = {"kind": "sgd", "momentum": {"low": 0.5, "high": 0.9}}


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ({"low": 0.1, "high": 0.5}, {"low": 0.05, "high": 0.5}),
        ({"low": 0.1, "high": 0.5, "log": True}, {"low": 0.01, "high": 5.0, "log": True}),
        (
            {"low": 0.8, "high": 0.9, "log": "complement"},
            {"low": 0.5, "high": 0.999, "log": "complement"},
        ),
        ({"low": 2, "high": 8, "step": 2}, {"low": 0, "high": 12, "step": 2}),
        ({"low": 0.1, "high": 0.5, "step": 0.1}, {"low": 0.0, "high": 0.7, "step": 0.1}),
        ({"choices": [1, 2]}, {"choices": [3, 2, 1]}),
        ({"choices": [None, SGD]}, {"choices": [{"kind": "adam"}, SGD, None]}),
        (
            {"choices": [None, SGD]},
            {"choices": [None, {**SGD, "momentum": {"low": 0.1, "high": 1.0}}]},
        ),
        ({"choices": [SGD]}, {"choices": [{"kind": "sgd", "nesterov": True}, SGD]}),
        ([{"low": 1, "high": 2}, "x"], [{"low": 1, "high": 3}, "x"]),
    ],
)
def test_growths(before, now):
    assert changes({"x": before}, {"x": now}) == []
    assert changes({"x": now}, {"x": before}) != []


RANGE = {"low": 0.1, "high": 0.5}


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (1, 2, ["space.x: 1 -> 2"]),
        (1, 1.0, ["space.x: 1 -> 1.0"]),
        (1, True, ["space.x: 1 -> true"]),
        (
            "x" * 70 + "1",
            "x" * 70 + "2",
            [f'space.x: "{"x" * 56}... -> "{"x" * 56}...'],
        ),
        (RANGE, {"low": 0.2, "high": 0.4}, ["space.x.low: 0.1 -> 0.2", "space.x.high: 0.5 -> 0.4"]),
        (RANGE, {"low": 0.2, "high": 0.9}, ["space.x.low: 0.1 -> 0.2"]),
        (
            RANGE,
            {**RANGE, "log": True},
            ["space.x.log: false -> true"],
        ),
        (
            {**RANGE, "log": True},
            {**RANGE, "log": "complement"},
            ['space.x.log: true -> "complement"'],
        ),
        (RANGE, {**RANGE, "step": 0.1}, ["space.x.step: (absent) -> 0.1"]),
        (
            {**RANGE, "log": "complement"},
            1,
            ['space.x: {"low": 0.1, "high": 0.5, "log": "complement"} -> 1'],
        ),
        (
            {"low": 0, "high": 2},
            {"low": 0, "high": 2.0},
            ["space.x: whole numbers -> all numbers"],
        ),
        (
            {"low": 2, "high": 8, "step": 2},
            {"low": 1, "high": 9, "step": 2},
            ["space.x.low: 2 -> 1 (from there, steps of 2 miss 2)"],
        ),
        (
            {"low": 2, "high": 8, "step": 2},
            {"low": 2, "high": 8, "step": 1},
            ["space.x.step: 2 -> 1"],
        ),
        (
            0.3,
            RANGE,
            ['space.x: 0.3 -> {"low": 0.1, "high": 0.5}'],
        ),
        (1, {"choices": [1, 2]}, ['space.x: 1 -> {"choices": [1, 2]}']),
        ({"choices": [1, 2]}, {"choices": [2, 3]}, ["space.x: 1 -> (absent)"]),
        (
            {"choices": [None, SGD]},
            {"choices": [None, {**SGD, "momentum": {"low": 0.6, "high": 0.9}}]},
            ["space.x.sgd.momentum.low: 0.5 -> 0.6"],
        ),
        (
            {"choices": [None, SGD]},
            {"choices": [None, {**SGD, "nesterov": True}]},
            ["space.x.sgd.nesterov: (absent) -> true"],
        ),
        ({"a": 1, "b": 2}, {"b": 2}, ["space.x.a: 1 -> (absent)"]),
        ([1, 2], [1], ["space.x: [1, 2] -> [1]"]),
        ([1, 2], [1, 3], ["space.x.1: 2 -> 3"]),
        ([], {}, ["space.x: [] -> {}"]),
    ],
)
def test_what_is_no_growth_is_shown(before, now, expected):
    assert changes({"x": before}, {"x": now}) == expected


def test_every_difference_is_shown():
    before = {"a": RANGE, "b": 1, "c": {"choices": [1, 2]}}
    now = {"a": {"low": 0.0, "high": 0.4}, "b": 2, "c": {"choices": [3]}}
    assert changes(before, now) == [
        "space.a.high: 0.5 -> 0.4",
        "space.b: 1 -> 2",
        "space.c: 1 -> (absent)",
        "space.c: 2 -> (absent)",
    ]


def test_deep_choices_are_compared_once():
    tree: Any = {"low": 0.0, "high": 1.0}
    other: Any = {"low": 0.0, "high": 0.5}
    for _ in range(25):  # were every level looked at twice, this would take minutes
        tree, other = {"choices": [tree]}, {"choices": [other]}
    (line,) = changes({"x": tree}, {"x": other})
    assert line.endswith(".high: 1.0 -> 0.5")
