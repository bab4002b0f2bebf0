from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hpo.functional import orthogonality_cost
from hpo.train.layout import Layout
from hpo.train.regularizers import Orthogonality


def tensor(n: int, d: int, seed: int = 0) -> torch.Tensor:
    return torch.tensor(np.random.RandomState(seed).standard_normal((n, d)))


@pytest.mark.parametrize(("n", "d"), [(4, 7), (5, 5), (7, 4)])
def test_it_is_the_square_of_what_is_missing_to_the_identity(n: int, d: int) -> None:
    weight = tensor(n, d)

    def by_rows(w: torch.Tensor) -> torch.Tensor:
        return (w @ w.T - torch.eye(n)).square().sum()

    expected = by_rows(weight).item() - max(n - d, 0)
    assert orthogonality_cost(weight).item() == pytest.approx(expected, rel=1e-12)
    slopes = torch.func.grad(by_rows)(weight)
    assert torch.allclose(torch.func.grad(orthogonality_cost)(weight), slopes, rtol=1e-10)


@pytest.mark.parametrize(("n", "d"), [(4, 7), (5, 5), (7, 4)])
def test_it_is_zero_at_orthonormal_rows_or_columns(n: int, d: int) -> None:
    weight = torch.nn.init.orthogonal_(tensor(n, d))
    assert orthogonality_cost(weight).item() == pytest.approx(0, abs=1e-20)
    gradient = torch.func.grad(orthogonality_cost)(weight)
    assert gradient.abs().max() < 1e-12


def test_lengths_count() -> None:
    assert orthogonality_cost(torch.tensor([[2.0, 0.0], [0.0, 1.0]])) == 9
    assert orthogonality_cost(torch.zeros(2, 3)) == 2, "finite at rows of zeros"


def test_filters_are_rows_and_it_is_mapped_over_weights() -> None:
    kernels = torch.randn(3, 6, 2, 3, 3, dtype=torch.float64)
    mapped = torch.func.vmap(torch.func.grad(orthogonality_cost))(kernels)
    for kernel, gradient in zip(kernels, mapped, strict=True):
        flat = torch.func.grad(orthogonality_cost)(kernel.flatten(1))
        assert torch.allclose(gradient.flatten(1), flat, rtol=1e-12)


def test_descent_makes_rows_orthonormal() -> None:
    weight = tensor(4, 6)
    for _ in range(500):
        weight = weight - 0.02 * torch.func.grad(orthogonality_cost)(weight)
    gram = weight @ weight.T
    assert torch.allclose(gram, torch.eye(4, dtype=gram.dtype), atol=1e-6)
    assert torch.arccos(gram[0, 1]).item() == pytest.approx(math.pi / 2, abs=1e-6)


def test_weights_whose_length_means_nothing_are_left_alone() -> None:
    layout = Layout({"body.direction": (4, 3), "body.gain": (4,), "head.weight": (3, 4)})
    assert Orthogonality(strength=1.0).names(layout) == ["head.weight"]
