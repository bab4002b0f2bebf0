"""What is drawn from a space that was accepted: valid configs, at any depth, on every scale."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from models import Config
from pydantic import BaseModel, model_validator
from trees import anyhow, space, unlike

from hpo.errors import StudyFileError
from hpo.space import Choices, Space, check, locate, parse

UNIT = [
    {"low": 0.0, "high": 0.75},
    {"low": 0.001, "high": 0.5, "log": True},
    {"low": 0.5, "high": 0.999, "log": "complement"},
    {"low": 0.1, "high": 0.7, "step": 0.2},
    {"choices": [0, 0.25, 0.5]},
    0.125,
]
FIELDS: dict[str, list[Any]] = {
    "epochs": [3, {"low": 1, "high": 100}, {"low": 1, "high": 64, "log": True}],
    "lr": [0.1, *UNIT[1:4], {"low": 1e-8, "high": 1, "log": True}],
    "widths": [[8], {"choices": [[], [8], [{"low": 1, "high": 9, "step": 4}, 16]]}],
    "layers": [{"choices": [[], [{"strength": UNIT[0]}, {"strength": UNIT[2]}]]}],
    "bias": [{"choices": [True, False]}],
    "optimizer": [
        {"kind": "sgd", "momentum": UNIT[2]},
        {
            "choices": [
                {"kind": "sgd", "momentum": {"choices": [UNIT[0], UNIT[2]]}},
                {"kind": "adam", "betas": [UNIT[2], {"choices": [0.99, 0.999]}]},
                {"kind": "clip", "clip": {"choices": [{"momentum": UNIT[1]}, {"kind": "sgd"}]}},
            ]
        },
    ],
    "penalty": [None, {"choices": [None, {"strength": UNIT[1]}]}],
    "even": [2, {"low": 0, "high": 8}, {"low": 0, "high": 8, "step": 2}],
    "warmup": UNIT,
    "decay": UNIT,
}
OWN_WORDS = ("warmup + decay must be at most 1", "even: must be even")


@settings(max_examples=150, deadline=None)
@given(
    st.fixed_dictionaries(
        {"epochs": st.sampled_from(FIELDS["epochs"])},
        optional={k: st.sampled_from(forms) for k, forms in FIELDS.items() if k != "epochs"},
    ),
    st.integers(0, 99),
)
def test_what_is_drawn_is_valid_unless_a_validator_rejects_the_combination(tree, seed):
    try:
        found = check(parse(json.dumps(tree), "s.yaml"), Config)
    except StudyFileError as error:
        assert all(any(words in str(m) for words in OWN_WORDS) for m in error.mistakes)
        assume(False)
    for k in range(5):
        config = found.draw(anyhow(seed + k)).config
        why = found.rejects(config)
        if why is None:
            assert found.config(json.loads(json.dumps(config))) == found.config(config)
        else:
            assert why in OWN_WORDS


def nested(depth: int) -> dict[str, Any]:
    """A part that may be absent, with a part in it that may be absent, and so on."""
    inside = {"choices": [None, nested(depth - 1)]} if depth else {"low": 1, "high": 3}
    return {
        "kind": f"level {depth}",
        "rate": {"low": 0.1, "high": 1.0, "log": True},
        "part": inside,
    }


@pytest.mark.parametrize("present", range(10))
def test_parts_may_be_absent_at_any_depth(present):
    found = space({"part": {"choices": [None, nested(8)]}})
    assert len(found.parameters) == 9 + 9 + 1
    steps = itertools.chain([1] * present, itertools.repeat(0))
    drawn = found.draw(lambda p: next(steps) if isinstance(p, Choices) else p.low)
    assert json.dumps(drawn.config).count("level") == present
    rates = [name for name in drawn.params if name.endswith("rate")]
    assert len(rates) == present, "parameters exist only where their part does"
    chosen = locate(found.root, drawn.config)
    assert found.draw(lambda p: chosen[p.name]) == drawn


ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(-2, 2)
    | st.text("ab \u00e9\U0001f600#.", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab.", max_size=2), inner),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(ANY_JSON, min_size=1, max_size=6).filter(unlike))
def test_any_json_may_be_a_choice(options):
    assume(len({json.dumps(option, sort_keys=True) for option in options}) == len(options))
    found = space({"x": {"choices": options}})
    (here,) = found.parameters
    for index, option in enumerate(options):
        drawn = found.draw(lambda parameter, index=index: index)
        assert json.dumps(drawn.config) == json.dumps({"x": option})
        assert drawn.params == {"x": here.parameter.labels[index]}
        assert locate(found.root, json.loads(json.dumps(drawn.config))) == {"x": index}


class Late(BaseModel):
    """Is only content close to one."""

    rate: float
    n: int = 1

    @model_validator(mode="after")
    def _close_to_one(self) -> Late:
        if self.rate < 0.999:
            raise ValueError("rate must be close to one")
        return self


class Small(BaseModel):
    n: int
    rate: float = 1.0

    @model_validator(mode="after")
    def _small(self) -> Small:
        if self.n * self.rate > 20:
            raise ValueError("n * rate must be small")
        return self


def accepted(tree: dict[str, Any], model: type[BaseModel]) -> Space | None:
    try:
        return check(parse(json.dumps(tree), "s.yaml"), model)
    except StudyFileError as error:
        (mistake,) = error.mistakes
        assert "at least 5% of the space must be valid" in str(mistake)
        return None


@pytest.mark.parametrize(
    ("model", "tree", "enough"),
    [
        # 0.1 % of the numbers are close enough to one, but a quarter of the decades.
        (Late, {"rate": {"low": 0.0, "high": 0.9999}}, False),
        (Late, {"rate": {"low": 0.0, "high": 0.9999, "log": "complement"}}, True),
        (Late, {"rate": {"low": 0.5, "high": 0.9991, "log": True}}, False),
        # 20 of 10 000 whole numbers are small enough, but a third of the decades.
        (Small, {"n": {"low": 1, "high": 10_000}}, False),
        (Small, {"n": {"low": 1, "high": 10_000, "log": True}}, True),
        (Small, {"n": {"low": 10, "high": 1000, "step": 10}}, False),
        (Small, {"n": {"low": 10, "high": 100, "step": 10}}, True),
        (Small, {"n": {"choices": [1, *range(1000, 1030)]}}, False),
        (Small, {"n": {"choices": [1, {"low": 1000, "high": 2000}]}}, True),
    ],
)
def test_the_share_that_is_valid_is_counted_on_the_scales_that_are_searched(model, tree, enough):
    assert (accepted(tree, model) is not None) is enough


@pytest.mark.parametrize("scale", [False, True, "complement"])
def test_draws_spread_evenly_on_their_scale(scale):
    found = space({"x": {"low": 0.01, "high": 0.99, "log": scale}})
    (here,) = found.parameters
    rng = random.Random(0)
    drawn = [found.draw(lambda p: p.from_unit(rng.random())).config["x"] for _ in range(4000)]
    below = {False: 0.5, True: 0.0995, "complement": 0.9005}[scale]  # half of the scale
    assert 0.47 < sum(x < below for x in drawn) / len(drawn) < 0.53
    assert here.parameter.low <= min(drawn) and max(drawn) <= here.parameter.high
