"""Fragments laid over each other."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo.errors import Place
from hpo.space import Document, parse
from hpo.space.merge import merge


def merged(base: str, over: str) -> Document:
    return merge(parse(base, "base.yaml"), parse(over, "over.yaml"))


@pytest.mark.parametrize(
    ("base", "over", "expected"),
    [
        ("{a: 1}", "{b: 2}", {"a": 1, "b": 2}),
        ("{a: 1}", "{a: 2}", {"a": 2}),
        ("{a: {x: 1, y: 2}}", "{a: {y: 3}}", {"a": {"x": 1, "y": 3}}),
        ("{a: [1, 2]}", "{a: [3]}", {"a": [3]}),
        ("{a: {x: 1}}", "{a: null}", {"a": None}),
        ("{a: 1}", "{a: {x: 1}}", {"a": {"x": 1}}),
        ("{a: {low: 0, high: 1}}", "{a: {low: 0.5, high: 2}}", {"a": {"low": 0.5, "high": 2}}),
        (
            "{a: {low: 1, high: 2, log: true}}",
            "{a: {low: 3, high: 4}}",
            {"a": {"low": 3, "high": 4}},
        ),
        ("{a: {choices: [1, 2]}}", "{a: {x: 1}}", {"a": {"x": 1}}),
        ("{a: {x: 1}}", "{a: {choices: [1, 2]}}", {"a": {"choices": [1, 2]}}),
        ("{a: {kind: sgd, m: 1}}", "{a: {kind: adam}}", {"a": {"kind": "adam"}}),
        (
            "{a: {kind: sgd, m: 1}}",
            "{a: {kind: sgd, n: 2}}",
            {"a": {"kind": "sgd", "m": 1, "n": 2}},
        ),
        ("{a: {kind: sgd, m: 1}}", "{a: {n: 2}}", {"a": {"kind": "sgd", "m": 1, "n": 2}}),
        ("{a: {m: 1}}", "{a: {kind: sgd}}", {"a": {"m": 1, "kind": "sgd"}}),
    ],
)
def test_what_lies_on_top_wins(base, over, expected):
    assert merged(base, over).data == expected


def test_every_value_keeps_its_place():
    found = merged("a: {x: 1, y: 2}\nb: {low: 0, high: 1}", "\n\na: {y: [3, 4]}\nb: 5")
    assert found.place(("a", "x")) == Place("base.yaml", 1, 8)
    assert found.place(("a", "y", 1)) == Place("over.yaml", 3, 12)
    assert found.place(("a", "y"), key=True) == Place("over.yaml", 3, 5)
    assert found.place(("b",)) == Place("over.yaml", 4, 4)
    assert found.place(("b", "low")) == Place("over.yaml", 4, 4), "what was replaced is gone"


MAPPINGS = st.dictionaries(
    st.sampled_from("abc"),
    st.recursive(
        st.integers(0, 3),
        lambda inner: st.dictionaries(st.sampled_from("abc"), inner) | st.lists(inner, max_size=2),
        max_leaves=6,
    ),
)


@settings(max_examples=100, deadline=None)
@given(MAPPINGS, MAPPINGS, MAPPINGS)
def test_merging_is_associative_and_changes_nothing_it_is_given(a, b, c):
    documents = [Document(data, {(): Place("f", 1, 1)}) for data in (a, b, c)]
    before = repr((a, b, c))
    x, y, z = documents
    left, right = merge(merge(x, y), z), merge(x, merge(y, z))
    # A value that is replaced and then made a mapping again may differ: only that.
    if not any(isinstance(p, dict) != isinstance(q, dict) for p, q in conflicts(a, b, c)):
        assert left.data == right.data
    assert merge(x, Document({}, {(): Place("f", 1, 1)})).data == a
    assert merge(x, x).data == a
    assert repr((a, b, c)) == before


def conflicts(*layers):
    """Pairs of values that stand at the same path in two layers, at any depth."""
    for i, upper in enumerate(layers):
        for lower in layers[:i]:
            for key in upper.keys() & lower.keys():
                yield upper[key], lower[key]
                if isinstance(upper[key], dict) and isinstance(lower[key], dict):
                    yield from conflicts(lower[key], upper[key])


def test_a_large_file_is_merged_in_time_linear_in_its_size():
    def seconds(size: int) -> float:
        document = Document({}, {(): Place("f", 1, 1)})
        for i in range(size):
            document.data[f"k{i}"] = i
            document.values[(f"k{i}",)] = document.keys[(f"k{i}",)] = Place("f", i + 1, 1)
        started = time.perf_counter()
        assert len(merge(Document({}, {}), document).values) == size + 1
        return time.perf_counter() - started

    assert seconds(20_000) < 5  # every key against every place took a minute
