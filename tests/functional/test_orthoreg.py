from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hpo.functional import orthoreg_cost, orthoreg_gradient

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "golden.json").read_text())
W = torch.tensor(np.random.RandomState(30).standard_normal((4, 2, 3, 3)))


def test_values_of_the_paper() -> None:
    """They were computed with 1e-6 added to norms, which is as a coordinate of its own for each
    row that brings it back to length 1."""
    golden, rows = GOLDEN["orthoreg"], W.flatten(1)
    shorter = rows / (rows.norm(dim=1, keepdim=True) + 1e-6)
    lifted = torch.cat([shorter, torch.diag((1 - shorter.square().sum(1)).sqrt())], dim=1)
    assert orthoreg_cost(lifted).item() == pytest.approx(golden["paper_cost"], rel=1e-9)
    step = -0.1 * 0.001 * orthoreg_gradient(lifted)[:, : rows.shape[1]]
    assert step.norm().item() == pytest.approx(golden["paper_delta_norm"], rel=1e-9)
    assert step[0, :5].tolist() == pytest.approx(golden["paper_delta_row0"], rel=1e-9)
    assert torch.allclose(-0.1 * 0.001 * orthoreg_gradient(W).flatten(1), step, rtol=1e-5)


@pytest.mark.parametrize(("cosine", "cost"), [(0.0, 4.54e-5), (0.5, 6.715e-3), (1.0, 0.693147)])
def test_only_small_angles_cost(cosine: float, cost: float) -> None:
    pair = torch.tensor([[1.0, 0.0], [cosine, math.sqrt(1 - cosine**2)]], dtype=torch.float64)
    assert orthoreg_cost(pair).item() / 2 == pytest.approx(cost, rel=1e-4)


@pytest.mark.parametrize("lam", [5.0, 10.0, 15.0])
def test_the_gradient_is_half_that_of_the_cost_for_rows_of_length_one(lam: float) -> None:
    unit = torch.nn.functional.normalize(W.flatten(1))

    def cost(rows: torch.Tensor) -> torch.Tensor:
        terms = torch.nn.functional.softplus(lam * (rows @ rows.T - 1))
        return terms.sum() - terms.diagonal().sum()

    expected = torch.func.grad(cost)(unit) / 2
    assert torch.allclose(orthoreg_gradient(unit, lam), expected, rtol=1e-9)
    assert torch.allclose(orthoreg_gradient(3 * unit, lam), expected, rtol=1e-9)


def test_duplicates_are_finite_and_a_row_of_zeros_is_left_alone() -> None:
    rows = torch.tensor([[1.0, 1.0], [1.0, 1.0], [0.0, 0.0], [-1.0, 2.0]], requires_grad=True)
    gradient = orthoreg_gradient(rows)
    assert gradient.isfinite().all() and not gradient[2].any() and gradient[0].any()
    without = rows[[0, 1, 3]]
    assert torch.allclose(gradient[[0, 1, 3]], orthoreg_gradient(without))
    assert torch.allclose(orthoreg_cost(rows), orthoreg_cost(without))
    (by_autograd,) = torch.autograd.grad(orthoreg_cost(rows), rows)
    assert by_autograd.isfinite().all() and not by_autograd[2].any()


def test_a_single_row_has_nothing_to_be_compared_with() -> None:
    assert orthoreg_cost(W[:1]) == 0
    assert not orthoreg_gradient(W[:1]).any()


def test_it_is_mapped_over_weights_and_lambdas() -> None:
    weights, lam = torch.randn(3, 6, 4, dtype=torch.float64), torch.tensor([5.0, 10.0, 15.0])
    lam = lam.double()
    mapped = torch.func.vmap(orthoreg_gradient)(weights, lam)
    for k in range(3):
        assert torch.allclose(mapped[k], orthoreg_gradient(weights[k], lam[k]), rtol=1e-12)


def test_steps_along_it_decorrelate() -> None:
    rows = torch.tensor(np.random.RandomState(1).standard_normal((4, 3)))
    before = orthoreg_cost(rows)
    for _ in range(500):
        rows = rows - 0.05 * orthoreg_gradient(rows)
    assert orthoreg_cost(rows) < before / 50
