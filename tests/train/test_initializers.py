from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from train_helpers import config

from hpo.errors import InputError
from hpo.train.initializers import (
    Constant,
    Distribution,
    Kaiming,
    Normal,
    Orthogonal,
    Sparse,
    TruncatedNormal,
    Uniform,
    Xavier,
    fans,
)
from hpo.train.problem import assemble

DENSE, CONV = (100, 300), (32, 16, 3, 3)


def sample(part: Distribution, shape: tuple[int, ...] = DENSE, seed: int = 0) -> torch.Tensor:
    return part.sample(shape, torch.Generator().manual_seed(seed))


def test_fans() -> None:
    assert fans(DENSE) == (300, 100)
    assert fans(CONV) == (144, 288)


@pytest.mark.parametrize(
    ("part", "std"),
    [
        (Kaiming(), 0.08164965809277261),
        (Kaiming(distribution="uniform"), 0.08164965809277261),
        (Kaiming(gain=0.5), 0.08164965809277261 / 2),
        (Kaiming(slope=0.1), 0.08124444637023875),
        (Kaiming(fan="out"), math.sqrt(2 / 100)),
        (Xavier(), 0.07071067811865475),
        (Xavier(distribution="uniform"), 0.07071067811865475),
        (Xavier(gain=5 / 3), 0.11785113019775792),
        (Normal(std=0.02), 0.02),
        (TruncatedNormal(std=0.02), 0.02 * 0.87962566),
        (Sparse(connections=30, std=0.5), 0.5 * math.sqrt(30 / 300)),
        (Uniform(bound=0.3), 0.3 / math.sqrt(3)),
    ],
)
def test_standard_deviation(part: Distribution, std: float) -> None:
    weight = sample(part)
    assert weight.dtype == torch.float64
    assert weight.std().item() == pytest.approx(std, rel=3 / math.sqrt(2 * weight.numel()))
    assert abs(weight.mean().item()) < 4 * std / math.sqrt(weight.numel())


@pytest.mark.parametrize(
    ("part", "bound"),
    [
        (Kaiming(distribution="uniform"), 0.1414213562373095),
        (Xavier(distribution="uniform"), 0.1224744871391589),
        (Uniform(bound=0.3), 0.3),
        (TruncatedNormal(std=0.1), 0.2),
    ],
)
def test_bounds_are_reached_and_never_exceeded(part: Distribution, bound: float) -> None:
    largest = sample(part).abs().max().item()
    assert 0.99 * bound < largest <= bound


@pytest.mark.parametrize("shape", [(20, 50), (50, 20), (8, 4, 3, 3), (64, 4, 3, 3)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    weight = sample(Orthogonal(gain=1.5), shape)
    assert weight.shape == shape
    matrix = weight.flatten(1) / 1.5
    short = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    assert torch.allclose(short @ short.T, torch.eye(len(short), dtype=torch.float64), atol=1e-12)


def test_orthogonal_signs_are_random() -> None:
    corners = [sample(Orthogonal(), (3, 3), seed)[0, 0].item() for seed in range(200)]
    assert 60 < sum(corner > 0 for corner in corners) < 140


@pytest.mark.parametrize(("shape", "inputs"), [(DENSE, 300), (CONV, 144), ((5, 4), 4)])
def test_sparse_units_have_just_so_many_inputs(shape: tuple[int, ...], inputs: int) -> None:
    weight = sample(Sparse(connections=15), shape).flatten(1)
    assert ((weight != 0).sum(1) == min(15, inputs)).all()
    assert inputs <= 15 or len({tuple(row) for row in (weight != 0).tolist()}) > 1


def test_constant_weights() -> None:
    assert (sample(Constant(value=-0.5)) == -0.5).all()


@pytest.mark.parametrize(
    ("part", "setting"),
    [
        (Constant, "value"),
        (Kaiming, "gain"),
        (Normal, "std"),
        (Orthogonal, "gain"),
        (Sparse, "std"),
        (TruncatedNormal, "std"),
        (Uniform, "bound"),
        (Xavier, "gain"),
    ],
)
def test_weights_that_are_all_zero_are_refused(part: type[Distribution], setting: str) -> None:
    for zero in (0, -0.0):
        with pytest.raises(ValidationError, match="no gradient through a hidden layer"):
            part(**{setting: zero})


def test_weights_that_round_to_zero_are_refused(tmp_path: Path) -> None:
    tiny = {"kind": "uniform", "bound": 1e-60}
    with pytest.raises(InputError, match=r"in float32 those of layers\.0\.weight are"):
        assemble(config(initialization=tiny), tmp_path).initial_params(0)
    wide = config(initialization=tiny, precision="float64")
    assert assemble(wide, tmp_path).initial_params(0).any()


def test_kaiming_carries_the_variance_through_thirty_relu_layers() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(512, 256, generator=generator, dtype=torch.float64)
    h = x
    for _ in range(30):
        h = torch.relu(h @ Kaiming().sample((256, 256), generator).T)
    assert 0.5 < (h.square().mean() / x.square().mean()).item() < 2


@pytest.mark.parametrize(
    "part", [Kaiming(), Xavier(), Orthogonal(), Normal(), TruncatedNormal(), Uniform(), Sparse()]
)
def test_the_generator_decides(part: Distribution) -> None:
    assert torch.equal(sample(part, CONV, 1), sample(part, CONV, 1))
    assert not torch.equal(sample(part, CONV, 1), sample(part, CONV, 2))
