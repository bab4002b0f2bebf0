"""Dropout of activations, of weights, along sequences, and of branches."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden import GOLDEN
from pydantic import ValidationError

from hpo.errors import InputError
from hpo.functional import depth_rates, inverted_dropout
from hpo.train.builtin import trainer
from hpo.train.config import TrainConfig
from hpo.train.layout import Layout
from hpo.train.noise import NoiseSource, step_keys
from hpo.train.regularizers import DropConnect, StochasticDepth, VariationalDropout
from hpo.train.regularizers.base import Context
from hpo.train.task import Window

LIKE = torch.empty(0, dtype=torch.float64)
SOURCE = NoiseSource(LIKE.device)


def config(**changes: Any) -> TrainConfig:
    small = {"data": {"kind": "sklearn", "name": "iris"}, "model": {"kind": "mlp"}, "device": "cpu"}
    return TrainConfig.model_validate(small | changes)


def context(layout: Layout, step: int = 0) -> Context:
    return Context(
        LIKE.new_tensor(float(step)),
        LIKE.new_tensor(0.1),
        SOURCE.at(step_keys(5, torch.tensor([step]))[0]),
        layout,
        layout.weight_mask(LIKE),
    )


# ---- the formula ----


def test_what_is_kept_is_scaled_so_that_the_mean_stays() -> None:
    keep_p = GOLDEN["dropout"]["keep_p"]
    h = LIKE.new_tensor([3.0, -1.0])
    masks = [torch.tensor(mask) for mask in product([False, True], repeat=2)]
    found = [inverted_dropout(h, mask, 1 - keep_p) for mask in masks]
    assert found[3] == pytest.approx(h * GOLDEN["dropout"]["inverted_train_scale"])
    assert found[1].tolist() == pytest.approx([0.0, -1.0 / keep_p])
    mean = sum(
        keep_p ** mask.sum() * (1 - keep_p) ** (~mask).sum() * value
        for mask, value in zip(masks, found, strict=True)
    )
    assert mean == pytest.approx(h)


def test_on_a_linear_regression_it_is_a_penalty_of_its_own() -> None:
    """E |y - (X * m) w|^2 = |y - X w|^2 + (1 - p) / p * sum_j |X_j|^2 w_j^2, p being kept."""
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(*n, generator=generator).double() for n in ((4, 2), (4,)))
    w, p = LIKE.new_tensor([1.0, -2.0]), 0.8
    expected = 0.0
    for mask in product([0, 1], repeat=8):
        keep = torch.tensor(mask, dtype=torch.bool).view(4, 2)
        probability = p ** sum(mask) * (1 - p) ** (8 - sum(mask))
        expected += probability * (y - inverted_dropout(x, keep, 1 - p) @ w).square().sum().item()
    penalty = (1 - p) / p * (x.square().sum(0) * w.square()).sum().item()
    assert expected == pytest.approx((y - x @ w).square().sum().item() + penalty, rel=1e-9)


# ---- DropConnect ----


def test_drop_connect_drops_single_weights_once_a_step() -> None:
    layout = Layout({"dense.weight": (200, 300), "dense.bias": (200,), "head.weight": (3, 200)})
    params = layout.split(torch.ones(layout.size, dtype=torch.float64))
    part = DropConnect(rate=0.3, layers="hidden")
    first, again, later = (part.on_params(params, context(layout, t)) for t in (0, 0, 1))
    weight = first["dense.weight"]
    assert set(weight.unique().tolist()) == {0.0, 1 / 0.7}
    assert (weight == 0).double().mean().item() == pytest.approx(
        0.3, abs=4 * (0.21 / 60_000) ** 0.5
    )
    assert torch.equal(weight, again["dense.weight"])
    assert not torch.equal(weight, later["dense.weight"])
    for name in ("dense.bias", "head.weight"):
        assert torch.equal(first[name], params[name])
    mean = sum(part.on_params(params, context(layout, t))["dense.weight"] for t in range(400)) / 400
    assert (mean - 1).abs().max().item() < 6 * (0.3 / 0.7 / 400) ** 0.5


def test_a_weight_that_is_dropped_gets_no_gradient() -> None:
    layout = Layout({"dense.weight": (4, 5)})
    vector = torch.ones(20, dtype=torch.float64, requires_grad=True)
    seen = DropConnect(rate=0.5).on_params(layout.split(vector), context(layout))["dense.weight"]
    (gradient,) = torch.autograd.grad(seen.square().sum(), vector)
    assert torch.equal(gradient.view(4, 5) == 0, seen == 0) and (seen == 0).any()


# ---- along sequences ----

B, L, WIDTH = 64, 9, 8
TEXT = Window(length=L, characters=30)
GRU = {"kind": "gru", "width": WIDTH, "layers": 2}


def layout_of(**model: Any) -> Layout:
    return config(model=GRU | model).model.layout(TEXT, 3)


def ratio(part: VariationalDropout, site: str, step: int = 0) -> torch.Tensor:
    """What activations are multiplied by, [B, L, width]."""
    h = 1 + torch.rand(B, L, WIDTH, dtype=torch.float64)
    return (part.on_hidden(h, site, context(layout_of(), step)) / h).round(decimals=9)


@pytest.mark.parametrize(
    ("field", "site"),
    [("input", "embedding"), ("input", "rnn.l0"), ("output", "rnn.l1")],
)
def test_a_mask_is_the_same_at_all_steps_and_another_for_each_sequence(
    field: str, site: str
) -> None:
    part = VariationalDropout(**{field: 0.4})
    found = ratio(part, site)
    assert torch.equal(found, found[:, :1].expand_as(found)), "the same at all steps"
    assert len(found[:, 0].unique(dim=0)) > B / 2, "another for each sequence"
    assert set(found.unique().tolist()) == {0.0, round(1 / 0.6, 9)}
    assert not torch.equal(found, ratio(part, site, step=1)), "drawn anew for each batch"
    for other in {"embedding", "rnn.l0", "rnn.l1"} - {site}:
        mask = ratio(part, other)
        assert not torch.equal(mask, found), "another for each layer"
        assert (mask == 1).all() == ((field == "output") or other == "rnn.l1")


def test_of_a_state_the_same_is_dropped_at_all_steps() -> None:
    part, now = VariationalDropout(state=0.4), context(layout_of())
    steps = [
        part.on_state(torch.full((B, WIDTH), 1.0 + t), "rnn.l0", now) / (1 + t) for t in (0, 5)
    ]
    assert torch.allclose(*steps) and (steps[0] == 0).any()
    assert len(steps[0].unique(dim=0)) > B / 2
    assert not torch.equal(steps[0] == 0, part.on_state(torch.ones(B, WIDTH), "rnn.l1", now) == 0)


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_in_a_net_the_state_is_masked_alike_from_first_to_last_step(kind: str) -> None:
    model = config(model=GRU | {"kind": kind, "layers": 1}).model
    layout = model.layout(TEXT, 3)
    params = layout.split(torch.randn(layout.size, dtype=torch.float64))
    part, now, seen = VariationalDropout(state=0.4), context(layout), []

    def on_hidden(h: torch.Tensor, site: str, kind: str = "activation") -> torch.Tensor:
        if kind == "state":
            seen.append(part.on_state(torch.ones_like(h), site, now))
            return h * seen[-1]
        return h

    model.apply(params, {}, torch.randint(30, (B, L)), on_hidden, training=True)
    assert len(seen) == L and all(torch.equal(mask, seen[0]) for mask in seen)
    assert not torch.equal(seen[0][0], seen[0][1])


def test_a_character_is_dropped_wherever_it_occurs() -> None:
    layout = layout_of()
    params = layout.split(torch.ones(layout.size, dtype=torch.float64))
    rows = VariationalDropout(embedding=0.4).on_params(params, context(layout))["embedding.weight"]
    assert torch.equal(rows, rows[:, :1].expand_as(rows))
    assert set(rows[:, 0].tolist()) == {0.0, 1 / 0.6}


def test_channels_of_series_are_dropped_for_all_of_it() -> None:
    x, y = torch.ones(B, 3, L, dtype=torch.float64), torch.zeros(B)
    found, _ = VariationalDropout(input=0.4).on_batch(x, y, context(layout_of()))
    assert torch.equal(found, found[..., :1].expand_as(found))
    assert set(found.unique().tolist()) == {0.0, 1 / 0.6}
    text = torch.ones(B, L, dtype=torch.int64)
    assert VariationalDropout(input=0.4).on_batch(text, y, context(layout_of()))[0] is text


def test_it_is_for_recurrent_nets() -> None:
    rates = {"variational_dropout": {"state": 0.2}}
    with pytest.raises(
        ValidationError, match=r"variational_dropout is for recurrent nets, got .*mlp"
    ):
        config(regularization=rates)
    assert config(regularization={"variational_dropout": {}}), "all rates 0 are no dropout"


@pytest.mark.parametrize(
    ("field", "x", "message"),
    [
        ("embedding", (20, 2, 5), "embedding drops characters of a text"),
        ("input", (20, 5), "input drops channels for all of a series, and these have one"),
    ],
)
def test_series_have_no_characters_and_several_channels(
    tmp_path: Path, field: str, x: tuple[int, ...], message: str
) -> None:
    np.savez(tmp_path / "s.npz", x=np.random.default_rng(0).normal(size=x), y=np.arange(20) % 2)
    data = {"kind": "npz", "path": "s.npz", "series": len(x) == 3}
    case = config(data=data, model=GRU, regularization={"variational_dropout": {field: 0.2}})
    with pytest.raises(InputError, match=message):
        trainer.check(case, tmp_path)


# ---- of branches ----

RESNET = {"kind": "resnet", "channels": [3, 4], "blocks": 2}
TRANSFORMER = {"kind": "transformer", "width": 8, "heads": 2, "layers": 2}


def test_survival_falls_linearly_with_depth() -> None:
    """54 branches with p_L = 0.5: about 40 of them are there in a step, as the paper has it."""
    rates = depth_rates(0.5, 54)
    assert rates[0] == pytest.approx(0.5 / 54) and rates[-1] == 0.5
    assert 54 - sum(rates) == pytest.approx((3 * 54 - 1) / 4)


@pytest.mark.parametrize(("decay", "expected"), [("linear", 0.15), ("constant", 0.6)])
def test_branches_are_dropped_row_by_row(decay: str, expected: float) -> None:
    layout = config(model=RESNET).model.layout((1, 8, 8), 3)
    assert layout.branches == ("stages.0.0", "stages.0.1", "stages.1.0", "stages.1.1")
    part = StochasticDepth(rate=0.6, decay=decay)
    h = torch.ones(4000, 2, 2, 2, dtype=torch.float64)
    found = part.on_branch(h, "stages.0.0", context(layout))
    assert torch.equal(found, found[:, :1, :1, :1].expand_as(found))
    assert set(found.unique().tolist()) == {0.0, 1 / (1 - expected)}
    dropped = (found[:, 0, 0, 0] == 0).double().mean().item()
    assert dropped == pytest.approx(expected, abs=4 * (expected * (1 - expected) / 4000) ** 0.5)
    last = part.on_branch(h, "stages.1.1", context(layout))
    assert last.max().item() == pytest.approx(1 / 0.4)
    assert not torch.equal(last == 0, part.on_branch(h, "stages.1.0", context(layout)) == 0)


@pytest.mark.parametrize("model", [RESNET, TRANSFORMER])
def test_a_model_calls_its_branches_in_the_order_it_says(model: dict[str, Any]) -> None:
    part = config(model=model).model
    inputs = (1, 8, 8) if part.kind == "resnet" else (2, 6)
    layout, seen = part.layout(inputs, 3), []

    def on_hidden(h: torch.Tensor, site: str, kind: str = "activation") -> torch.Tensor:
        if kind == "branch":
            seen.append(site)
        return h

    part.apply(
        layout.split(torch.randn(layout.size)),
        {},
        torch.randn(2, *inputs),
        on_hidden,
        training=True,
    )
    assert tuple(seen) == layout.branches and len(seen) == 4


def test_it_is_for_models_with_bypasses() -> None:
    rate = {"stochastic_depth": {"rate": 0.2}}
    with pytest.raises(ValidationError, match=r"stochastic_depth drops branches .* mlp has none"):
        config(regularization=rate)
    assert config(regularization=rate, model=RESNET)
    assert config(regularization={"stochastic_depth": {"rate": 0.0}})
