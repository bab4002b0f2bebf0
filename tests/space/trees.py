"""Random search spaces, as they would be written."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from hpo.records import Json
from hpo.space import Choices, Parameter, Space, check, parse
from hpo.space.tree import Choose

KEYS = st.sampled_from(["a", "b", "c", "kind"])
CONSTANTS = st.sampled_from([None, True, False, 0, 1, -3, 0.5, "x", "sgd", "x#0", [], {}, [1, "y"]])


@st.composite
def stepped_ranges(draw: st.DrawFn) -> dict[str, Any]:
    """Whole numbers, or decimal fractions with a step: finitely many values."""
    low, count = draw(st.integers(-3, 3)), draw(st.integers(1, 3))
    unit = draw(st.sampled_from([None, 1, 2, 0.1, 0.25]))
    if unit is None:
        return {"low": low, "high": low + count}
    step = unit * draw(st.integers(1, 2))
    return {"low": low, "high": round(low + count * step, 9), "step": round(step, 9)}


CONTINUOUS = st.sampled_from(
    [
        {"low": 0.5, "high": 2.0},
        {"low": 0.001, "high": 1.0, "log": True},
        {"low": 1, "high": 9, "log": True},
        {"low": -1.0, "high": 0},
        {"low": 0.5, "high": 0.999, "log": "complement"},
        {"low": -2.0, "high": 0.25, "log": "complement"},
    ]
)


def unlike(options: list[Any]) -> bool:
    written = [repr(option) for option in options]
    return len(set(written)) == len(written)


def trees(ranges: st.SearchStrategy[Any], leaves: int = 8) -> st.SearchStrategy[dict[str, Any]]:
    """Mappings in which ranges and choices stand at any depth, choices inside choices too."""
    nodes = st.recursive(
        CONSTANTS | ranges,
        lambda inner: (
            st.dictionaries(KEYS, inner, min_size=1, max_size=3)
            | st.lists(inner, max_size=2)
            | st.lists(inner, min_size=1, max_size=3).filter(unlike).map(lambda o: {"choices": o})
        ),
        max_leaves=leaves,
    )
    return st.dictionaries(KEYS, nodes, max_size=3)


SPACES = trees(stepped_ranges() | CONTINUOUS)


def space(tree: dict[str, Any]) -> Space:
    return check(parse(json.dumps(tree), "s.yaml"), None)


def anyhow(seed: int) -> Choose:
    """Draws like a sampler."""
    rng = random.Random(seed)

    def choose(parameter: Parameter) -> float:
        if isinstance(parameter, Choices):
            return rng.randrange(len(parameter.options))
        return parameter.from_unit(rng.random())

    return choose


def as_chosen(found: Space, params: Mapping[str, Json]) -> dict[str, float]:
    """What was chosen to get these params."""
    by_name = {here.parameter.name: here.parameter for here in found.parameters}
    return {
        name: p.labels.index(value) if isinstance(p := by_name[name], Choices) else value
        for name, value in params.items()
    }
