"""Noise on inputs, weights and gradients."""

from __future__ import annotations

import math

import pytest
import torch
from golden import GOLDEN

from hpo.functional import gradient_noise_sd
from hpo.train.augmentations import Noise
from hpo.train.layout import Layout
from hpo.train.noise import NoiseSource, step_keys
from hpo.train.regularizers import GradientNoise, WeightNoise
from hpo.train.regularizers.base import Context

LIKE = torch.empty(0, dtype=torch.float64)
SOURCE = NoiseSource(LIKE.device)
LAYOUT = Layout({"dense.weight": (1, 3), "dense.bias": (1,), "head.weight": (200, 300)})


def context(step: int = 0) -> Context:
    return Context(
        LIKE.new_tensor(float(step)),
        LIKE.new_tensor(0.1),
        SOURCE.at(step_keys(5, torch.tensor([step]))[0]),
        LAYOUT,
        LAYOUT.weight_mask(LIKE),
    )


def test_input_noise_costs_its_variance_times_the_squared_norm() -> None:
    golden = GOLDEN["input_noise_equiv"]
    w, n = LIKE.new_tensor(golden["w"]), 200_000
    x, y = Noise(sd=golden["sigma"]).on_batch(LIKE.new_zeros(n, 3), LIKE.new_zeros(n), context())
    extra = (x @ w - y).square().mean().item()
    assert extra == pytest.approx(golden["extra"], rel=4 * math.sqrt(2 / n))


def test_weight_noise_costs_its_variance_times_the_squared_slope() -> None:
    """Of a linear model the slope dy/dw is x: E (y - t)^2 grows by sd**2 |x|**2."""
    params = LAYOUT.split(torch.zeros(LAYOUT.size, dtype=torch.float64))
    x, steps = LIKE.new_tensor([1.0, 2.0, -1.0]), 4000
    outputs = torch.stack(
        [
            WeightNoise(sd=0.1, layers=("dense",)).on_params(params, context(t))["dense.weight"] @ x
            for t in range(steps)
        ]
    )
    assert outputs.square().mean().item() == pytest.approx(0.06, rel=4 * math.sqrt(2 / steps))


def test_weight_noise_is_on_weights_alone_and_drawn_once_a_step() -> None:
    params = LAYOUT.split(torch.arange(float(LAYOUT.size), dtype=torch.float64))
    part = WeightNoise(sd=0.1)
    first, again, later = (part.on_params(params, context(t)) for t in (0, 0, 1))
    assert torch.equal(first["dense.bias"], params["dense.bias"])
    for name in ("dense.weight", "head.weight"):
        assert torch.equal(first[name], again[name]), "one noise, however many gradients"
        assert not torch.equal(first[name], later[name])
    added = first["head.weight"] - params["head.weight"]
    assert added.std().item() == pytest.approx(0.1, rel=4 / math.sqrt(2 * added.numel()))
    hidden = WeightNoise(sd=0.1, layers="hidden").on_params(params, context())
    assert torch.equal(hidden["head.weight"], params["head.weight"])


@pytest.mark.parametrize(
    ("t", "eta", "gamma", "sd"),
    [(0, 0.3, 0.55, 0.3**0.5), (99, 1.0, 0.5, 100**-0.25), (99, 0.01, 0.0, 0.1), (7, 0.0, 0.55, 0)],
)
def test_gradient_noise_is_annealed(t: int, eta: float, gamma: float, sd: float) -> None:
    assert gradient_noise_sd(LIKE.new_tensor(float(t)), eta, gamma).item() == pytest.approx(sd)
    part = GradientNoise(sd=math.sqrt(eta), gamma=gamma)
    zeros = torch.zeros(LAYOUT.size, dtype=torch.float64)
    found = part.on_grads(zeros, zeros, context(t))
    assert found.std().item() == pytest.approx(sd, rel=4 / math.sqrt(2 * LAYOUT.size))
    assert (LAYOUT.split(found)["dense.bias"] != 0).all() or sd == 0, "biases have noise, too"
