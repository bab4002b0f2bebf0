from __future__ import annotations

import math

import pytest
import torch

from hpo.train.protocols.sam import FLOOR, Sam, ascent
from hpo.train.regularizers.base import Context

CURVATURE = torch.tensor([1.0, 25.0], dtype=torch.float64)


def context(weights: list[float]) -> Context:
    nothing = torch.zeros((), dtype=torch.float64)
    return Context(nothing, nothing, None, None, torch.tensor(weights))  # type: ignore[arg-type]


def loss(w: torch.Tensor) -> torch.Tensor:
    return 0.5 * (CURVATURE * w * w).sum()


def plain(objective: object, w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    grads, value = torch.func.grad_and_value(objective)(w)
    return value, grads


def test_on_a_quadratic_the_gradient_is_that_of_the_worst_point() -> None:
    w = torch.tensor([3.0, -0.16], dtype=torch.float64)
    found, grads = Sam(radius=0.5).wrap_gradient(plain, context([1, 1]))(loss, w)
    # g = (3, -4), |g| = 5: half a unit along it is (0.3, -0.4).
    assert grads.tolist() == pytest.approx([3.3, 25 * -0.56])
    assert found == loss(w), "the loss is that at the weights"


def test_the_ascent_is_as_long_as_the_radius() -> None:
    grads = torch.randn(7)
    assert ascent(grads, 0.3).norm().item() == pytest.approx(0.3)
    assert ascent(1e-12 * grads, 0.3).norm().item() == pytest.approx(0.3)


def test_without_a_gradient_there_is_no_ascent() -> None:
    zeros = torch.zeros(3)
    assert torch.equal(ascent(zeros, 1.0), zeros)
    assert torch.equal(ascent(zeros, 1.0, torch.ones(3)), zeros)


def test_of_all_points_in_the_ball_that_of_the_ascent_is_worst() -> None:
    torch.manual_seed(0)
    grads, sizes = torch.randn(5).double(), torch.rand(5).double() + 0.1
    best = ascent(grads, 0.7, sizes)
    assert (best / sizes).norm().item() == pytest.approx(0.7)
    others = torch.randn(1000, 5).double()
    others = 0.7 * sizes * others / others.norm(dim=1, keepdim=True)
    assert (others @ grads).max() < best @ grads


def test_an_adaptive_radius_knows_no_scale() -> None:
    """Weights a times as large in the one layer and 1 / a in the next are the same net."""
    w = torch.tensor([0.8, 2.0], dtype=torch.float64)
    scale = torch.tensor([4.0, 0.25], dtype=torch.float64)

    def product(w: torch.Tensor) -> torch.Tensor:
        return (w.prod() - 1) ** 2

    def sharpness(w: torch.Tensor) -> float:
        sizes = w.abs()
        return product(w + ascent(torch.func.grad(product)(w), 0.1, sizes)).item()

    assert sharpness(w) == pytest.approx(sharpness(scale * w), rel=1e-12)


def test_biases_count_as_one_in_an_adaptive_radius() -> None:
    seen = []

    def watched(objective: object, w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(w)
        return plain(objective, w)

    w = torch.tensor([3.0, 0.16], dtype=torch.float64)  # gradients 3 and 4
    Sam(radius=1.0, adaptive=True).wrap_gradient(watched, context([1, 0]))(loss, w)
    size = 3 + FLOOR
    norm = math.hypot(3 * size, 4)
    assert (seen[1] - w).tolist() == pytest.approx([3 * size**2 / norm, 4 / norm])
