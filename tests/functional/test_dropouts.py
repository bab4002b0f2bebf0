"""Dropout of activations, of weights, along sequences, and of branches."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch

from hpo.functional import inverted_dropout
from hpo.train.layout import Layout
from hpo.train.noise import NoiseSource, step_keys
from hpo.train.regularizers import DropConnect
from hpo.train.regularizers.base import Context

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "golden.json").read_text())
LIKE = torch.empty(0, dtype=torch.float64)
SOURCE = NoiseSource(LIKE.device)


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
