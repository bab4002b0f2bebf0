"""The grid: every point once."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo.search import grid
from hpo.space import Space, check, parse

CONSTANTS = st.sampled_from([None, 1, "x", {"k": 1}])
RANGES = st.sampled_from(
    [
        {"low": 0, "high": 2},
        {"low": 1, "high": 7, "step": 3},
        {"low": 0.1, "high": 0.5, "step": 0.1},
        {"low": 1, "high": 3, "log": True},
    ]
)
NODES = st.recursive(
    CONSTANTS | RANGES,
    lambda inner: (
        st.dictionaries(st.sampled_from("abc"), inner, min_size=1, max_size=2)
        | st.lists(inner, max_size=2)
        | st.lists(inner, min_size=1, max_size=3, unique_by=json.dumps).map(
            lambda options: {"choices": options}
        )
    ),
    max_leaves=5,
)
TREES = st.dictionaries(st.sampled_from("abc"), NODES, max_size=2)

VALUES = {
    json.dumps({"low": 0, "high": 2}): [0, 1, 2],
    json.dumps({"low": 1, "high": 7, "step": 3}): [1, 4, 7],
    json.dumps({"low": 0.1, "high": 0.5, "step": 0.1}): [0.1, 0.2, 0.3, 0.4, 0.5],
    json.dumps({"low": 1, "high": 3, "log": True}): [1, 2, 3],
}


def make_space(tree: dict[str, Any]) -> Space:
    return check(parse(json.dumps(tree), "s.yaml"), None)


def every_point(tree: Any) -> list[tuple[Any, Any]]:
    """Every (choices made, config) of a tree, from its text and nothing of ours."""
    if isinstance(tree, dict) and "low" in tree:
        return [((value,), value) for value in VALUES[json.dumps(tree)]]
    if isinstance(tree, dict) and "choices" in tree:
        return [
            ((i, *made), config)
            for i, option in enumerate(tree["choices"])
            for made, config in every_point(option)
        ]
    if isinstance(tree, (dict, list)):
        children = list(tree.values()) if isinstance(tree, dict) else tree
        points = []
        for chosen in itertools.product(*map(every_point, children)):
            configs = [config for _, config in chosen]
            whole = dict(zip(tree, configs, strict=True)) if isinstance(tree, dict) else configs
            points.append((sum((made for made, _ in chosen), ()), whole))
        return points
    return [((), tree)]


@settings(max_examples=150, deadline=None)
@given(TREES)
def test_every_point_once_and_in_order(tree):
    root = make_space(tree).root
    expected = every_point(tree)
    assert grid.size(root) == len(expected)
    if len(expected) <= 3000:
        drawn = [grid.point(root, index) for index in range(len(expected))]
        assert [repr(d.config) for d in drawn] == [repr(config) for _, config in expected]
        assert len({json.dumps(dict(d.params)) for d in drawn}) == len(expected)


@pytest.mark.parametrize(
    ("tree", "configs"),
    [
        ({}, [{}]),
        ({"x": 1}, [{"x": 1}]),
        ({"x": {"low": 0.1, "high": 0.5, "step": 0.1}}, [{"x": k / 10} for k in range(1, 6)]),
        ({"x": {"low": 3, "high": 5}}, [{"x": 3}, {"x": 4}, {"x": 5}]),
        (
            {"o": {"choices": [{"kind": "a", "m": {"choices": [1, 2]}}, {"kind": "b"}]}, "y": 0},
            [
                {"o": {"kind": "a", "m": 1}, "y": 0},
                {"o": {"kind": "a", "m": 2}, "y": 0},
                {"o": {"kind": "b"}, "y": 0},
            ],
        ),
    ],
)
def test_points(tree, configs):
    root = make_space(tree).root
    assert [grid.point(root, i).config for i in range(grid.size(root))] == configs


def test_a_branch_adds_and_all_else_multiplies():
    branch = {"choices": [{"kind": "a", "m": {"low": 1, "high": 10}}, {"kind": "b"}]}
    root = make_space({"o": branch, "p": branch, "x": {"low": 1, "high": 100}}).root
    assert grid.size(root) == 11 * 11 * 100


def test_size_does_not_need_the_points():
    tree = {f"x{i}": {"low": 0, "high": 10**9 - 1} for i in range(5)}
    root = make_space(tree).root
    assert grid.size(root) == 10**45
    assert grid.point(root, 10**45 - 1).config == {f"x{i}": 10**9 - 1 for i in range(5)}


def test_continuous_ranges_are_refused_at_their_places():
    text = """\
x: {low: 0.0, high: 1.0}
n: {low: 1, high: 3}
o:
  choices:
    - {kind: sgd, m: {low: 0.1, high: 1.0, log: true}}
    - {kind: adam, s: {low: 0.0, high: 1.0, step: 0.5}}
m: {low: 0.5, high: 0.99, log: complement}
"""
    document = parse(text, "s.yaml")
    root = make_space(document.data).root
    assert [str(m) for m in grid.continuous(root, document)] == [
        "s.yaml:1:4: space.x: a grid needs finitely many values, got every number from 0.0 to 1.0;"
        " add a step, or write choices: [...]",
        "s.yaml:5:22: space.o.m: a grid needs finitely many values, got every number from 0.1 to"
        " 1.0; write choices: [...]",
        "s.yaml:7:4: space.m: a grid needs finitely many values, got every number from 0.5 to 0.99;"
        " write choices: [...]",
    ]
