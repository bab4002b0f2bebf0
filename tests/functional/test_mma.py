from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from golden import GOLDEN

from hpo.functional import mma_loss


def simplex(n: int) -> np.ndarray:
    """n points in n - 1 dimensions, each as far from all others."""
    centred = np.eye(n) - 1 / n
    return np.linalg.svd(centred)[0][:, : n - 1] * math.sqrt(n / (n - 1))


WEIGHTS = {
    "mma_linear_8x5": np.random.RandomState(0).standard_normal((8, 5)),
    "mma_simplex_n3": simplex(3),
    "mma_simplex_n4": simplex(4),
    "mma_simplex_n5": simplex(5),
    "mma_simplex_n11": simplex(11),
    "mma_duplicate_rows": [[1, 2, 3], [1, 2, 3]],
    "mma_antipodal": [[1, 0], [-1, 0]],
    "mma_identity4": np.eye(4),
    "mma_cross_polytope3": np.vstack([np.eye(3), -np.eye(3)]),
}


def with_gradient(weight: Any) -> tuple[float, torch.Tensor]:
    tensor = torch.tensor(np.array(weight, dtype=float), requires_grad=True)
    loss = mma_loss(tensor)
    (gradient,) = torch.autograd.grad(loss, tensor)
    return loss.item(), gradient


@pytest.mark.parametrize("name", WEIGHTS)
def test_values_of_the_reference(name: str) -> None:
    loss, _ = with_gradient(WEIGHTS[name])
    assert loss == pytest.approx(GOLDEN[name]["loss"], rel=1e-9)


@pytest.mark.parametrize("name", ["mma_linear_8x5", "mma_identity4", "mma_cross_polytope3"])
def test_gradients_of_the_reference(name: str) -> None:
    _, gradient = with_gradient(WEIGHTS[name])
    assert gradient[0].tolist() == pytest.approx(GOLDEN[name]["grad_row0"], rel=1e-9, abs=1e-12)
    assert gradient.norm().item() == pytest.approx(GOLDEN[name]["grad_norm"], rel=1e-9)


def test_a_row_of_zeros_has_no_angle_and_gets_no_gradient() -> None:
    """The reference has a gradient of 1e12 there."""
    loss, gradient = with_gradient([[1, 1], [0, 0]])
    assert loss == pytest.approx(GOLDEN["mma_zero_row"]["loss"])
    assert not gradient.any()
    loss, gradient = with_gradient([[1, 1], [0, 0], [1, 0]])
    assert loss == pytest.approx(-(math.pi / 4 + math.pi / 2 + math.pi / 4) / 3)
    assert gradient[0].any() and not gradient[1].any()


@pytest.mark.parametrize("weight", [np.zeros((3, 2)), np.random.RandomState(3).randn(1, 5)])
def test_without_two_directions_there_is_nothing_to_do(weight: np.ndarray) -> None:
    _, gradient = with_gradient(weight)
    assert torch.equal(gradient, torch.zeros_like(gradient))
    assert with_gradient(weight[:1])[0] == 0.0


def test_rows_that_all_but_coincide_are_driven_apart() -> None:
    """The reference clamps the slope away, too, so that they stay together for ever."""
    _, gradient = with_gradient([[1.0, 1e-4], [1.0, 0.0]])
    assert gradient[0, 1] < -0.01 and gradient[1, 1] > 0.01


def test_only_directions_matter() -> None:
    weight = np.random.RandomState(1).randn(6, 4)
    loss, gradient = with_gradient(weight)
    scales = np.array([[0.1], [3], [1], [20], [0.5], [7]])
    scaled, scaled_gradient = with_gradient(weight * scales)
    assert scaled == pytest.approx(loss, rel=1e-12)
    assert torch.allclose(scaled_gradient * torch.tensor(scales), gradient, rtol=1e-9)
    along = (gradient * torch.tensor(weight)).sum(1)
    assert along.abs().max() < 1e-12, "a length is never changed"


def test_filters_are_rows() -> None:
    kernel = torch.randn(6, 2, 3, 3, dtype=torch.float64)
    assert mma_loss(kernel) == mma_loss(kernel.flatten(1))


def test_it_is_mapped_over_weights() -> None:
    weights = torch.randn(3, 8, 5, dtype=torch.float64)
    gradients = torch.func.vmap(torch.func.grad(mma_loss))(weights)
    for weight, gradient in zip(weights, gradients, strict=True):
        assert torch.allclose(gradient, with_gradient(weight.numpy())[1], rtol=1e-12)


def test_half_precision_is_not_precise_enough() -> None:
    weight = torch.randn(8, 5)
    rounded = weight.bfloat16()
    assert mma_loss(rounded) == mma_loss(rounded.float())


@pytest.mark.parametrize(("n", "d", "degrees"), [(4, 3, 109.4712), (6, 3, 90.0), (10, 32, 96.3794)])
def test_descent_reaches_the_best_arrangement(n: int, d: int, degrees: float) -> None:
    weight = torch.tensor(np.random.RandomState(7).standard_normal((n, d)))
    steps = 4000
    for step in range(steps):
        # At the optimum neighbours change places, and a constant rate would never settle.
        rate = 0.5 * (1 - step / steps) ** 2
        weight = weight - rate * torch.func.grad(mma_loss)(weight)
        weight = weight / weight.norm(dim=1, keepdim=True)
    smallest = torch.rad2deg(torch.arccos((weight @ weight.T).fill_diagonal_(-1).max())).item()
    assert smallest == pytest.approx(degrees, abs=0.05)
