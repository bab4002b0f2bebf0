from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hpo.functional import mhe_energy
from hpo.train.layout import Layout
from hpo.train.noise import NoiseSource, step_keys
from hpo.train.regularizers.base import Context
from hpo.train.regularizers.mhe import FLOOR, Mhe

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "golden.json").read_text())
W = np.random.RandomState(0).standard_normal((8, 5))
I3 = np.eye(3)
CROSS = np.vstack([I3, -I3])
SIMPLEX = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])

FULL = {f"mhe_{a}{s}": (s, a == "a") for a in ("", "a") for s in (0, 1, 2)}


def tensor(weight: Any) -> torch.Tensor:
    return torch.tensor(np.array(weight, dtype=float))


def as_the_reference(weight: np.ndarray, half_space: bool = False) -> torch.Tensor:
    """It adds 1e-4 to squared norms, which is as a coordinate of 0.01 of its own for each point."""
    points = np.vstack([weight, -weight]) if half_space else weight
    return tensor(np.hstack([points, 0.01 * np.eye(len(points))]))


def with_gradient(weight: torch.Tensor, **settings: Any) -> tuple[float, torch.Tensor]:
    leaf = weight.clone().requires_grad_()
    energy = mhe_energy(leaf, **settings)
    return energy.item(), torch.autograd.grad(energy, leaf)[0]


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("name", FULL)
def test_values_of_the_formula(name: str, half: bool) -> None:
    s, angular = FULL[name]
    golden = GOLDEN["mhe_8x5_formula_f64"]["values"][f"half_{name}" if half else name]
    found = mhe_energy(as_the_reference(W, half), s, angular=angular)
    assert found.item() == pytest.approx(golden["raw_mean"], rel=1e-12)
    if golden["raw_eps0"] is not None:
        exact = mhe_energy(tensor(W), s, half, angular)
        assert exact.item() == pytest.approx(golden["raw_eps0"], rel=1e-9)


@pytest.mark.parametrize(("case", "weight"), [("mhe_8x5", W), ("mhe_cross3", 10 * CROSS)])
@pytest.mark.parametrize("name", FULL)
def test_values_of_the_reference(name: str, case: str, weight: np.ndarray) -> None:
    s, angular = FULL[name]
    golden = GOLDEN[case]["values"]
    hidden = 0.1 if angular and s else 1.0
    energy, gradient = with_gradient(as_the_reference(weight), s=s, angular=angular)
    assert hidden * energy == pytest.approx(golden[name]["loss"], rel=2e-6)
    assert 10 * hidden * energy == pytest.approx(golden[name.replace("mhe", "final")]["loss"], 2e-6)
    if case == "mhe_8x5":  # its gradients are no rounding errors
        own = hidden * gradient[:, : weight.shape[1]]
        assert own.norm().item() == pytest.approx(golden[name]["grad_norm"], rel=1e-4)


@pytest.mark.parametrize("s", [0, 1, 2])
@pytest.mark.parametrize(("name", "points"), [("I3", I3), ("cross3", CROSS), ("simplex4", SIMPLEX)])
def test_closed_forms(name: str, points: np.ndarray, s: int) -> None:
    expected = GOLDEN["riesz_mean_closed_forms"][name][str(s)]
    expected *= 2 if s == 0 else 1  # -log of the squared distance
    assert mhe_energy(tensor(points), s).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("angular", [False, True])
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("s", [0, 1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_weight_has_a_finite_energy_and_gradient(
    s: int, half: bool, angular: bool, dtype: torch.dtype
) -> None:
    settings: dict[str, Any] = {"s": s, "half_space": half, "angular": angular}
    for weight in (
        [[1, 2, 3], [1, 2, 3], [0, 1, 0]],
        [[1, 2, 3], [-1, -2, -3], [0, 1, 0]],
        [[1, 2, 3], [1, 2, 3 + 1e-6], [0, 1, 0]],
        [[1, 2, 3], [-1, -2, -3 + 1e-6], [0, 1, 0]],
        np.zeros((3, 3)),
        10 * CROSS,
    ):
        energy, gradient = with_gradient(tensor(weight).to(dtype), **settings)
        assert math.isfinite(energy) and gradient.isfinite().all()
    energy, gradient = with_gradient(tensor([[1, 2, 3]]).to(dtype), **settings)
    assert energy == 0 and not gradient.any()


def test_coinciding_points_have_the_energy_of_the_floor() -> None:
    assert mhe_energy(tensor([[1, 2], [1, 2]])).item() == pytest.approx(1 / FLOOR)
    lines, pairs = tensor([[1, 2], [-1, -2]]), 6
    expected = (2 / FLOOR + 4 * 0.25) / pairs
    assert mhe_energy(lines, half_space=True).item() == pytest.approx(expected)


def test_points_that_all_but_coincide_are_driven_apart() -> None:
    for half, second in ((False, [1.0, 1e-4]), (True, [-1.0, -1e-4])):
        _, gradient = with_gradient(tensor([[1, 0], second]), half_space=half)
        assert gradient[0, 1] > 1 and gradient[1, 1] * second[0] < -1


def test_close_points_are_measured_to_full_precision() -> None:
    rows = torch.randn(20, 300, dtype=torch.float64)
    rows[1] = rows[0] + 0.02 * torch.randn(300, dtype=torch.float64)
    exact = mhe_energy(rows)
    assert mhe_energy(rows.float()).item() == pytest.approx(exact.item(), rel=1e-5)


def test_a_row_of_zeros_counts_nowhere() -> None:
    with_zeros = tensor(np.vstack([W, np.zeros(5)]))
    for settings in ({}, {"half_space": True}, {"angular": True}):
        energy, gradient = with_gradient(with_zeros, **settings)
        assert energy == pytest.approx(mhe_energy(tensor(W), **settings).item(), rel=1e-12)
        assert not gradient[-1].any() and gradient[:-1].any()


def test_only_directions_matter_and_in_half_space_only_lines() -> None:
    scales = np.array([[0.1], [3], [1], [20], [0.5], [7], [2], [9]])
    signs = np.array([[1], [-1]] * 4)
    energy, gradient = with_gradient(tensor(W))
    assert mhe_energy(tensor(scales * W)).item() == pytest.approx(energy, rel=1e-12)
    assert (gradient * tensor(W)).sum(1).abs().max() < 1e-12, "a length is never changed"
    assert mhe_energy(tensor(signs * W)).item() != pytest.approx(energy, rel=1e-3)
    halves = [mhe_energy(tensor(w), half_space=True).item() for w in (W, signs * W)]
    assert halves[0] == pytest.approx(halves[1], rel=1e-12)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("angular", [False, True])
def test_it_is_mapped_over_weights(half: bool, angular: bool) -> None:
    weights = torch.randn(3, 6, 4, dtype=torch.float64)
    settings: dict[str, Any] = {"half_space": half, "angular": angular}
    mapped = torch.func.vmap(torch.func.grad(lambda w: mhe_energy(w, **settings)))(weights)
    for weight, gradient in zip(weights, mapped, strict=True):
        expected = with_gradient(weight, **settings)[1]
        assert torch.allclose(gradient, expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(("s", "half", "degrees"), [(2, False, 109.4712), (2, True, 70.5288)])
def test_descent_spreads_four_points_in_space(s: int, half: bool, degrees: float) -> None:
    """Of lines, the diagonals of a cube."""
    weight = tensor(np.random.RandomState(7).standard_normal((4, 3)))
    for _ in range(2000):
        weight = weight - 0.1 * torch.func.grad(lambda w: mhe_energy(w, s, half))(weight)
        weight = weight / weight.norm(dim=1, keepdim=True)
    cosines = (weight @ weight.T)[*torch.triu_indices(4, 4, 1)]
    angles = torch.rad2deg(torch.arccos(cosines.abs() if half else cosines))
    assert angles.tolist() == pytest.approx([degrees] * 6, abs=0.01)


def test_the_output_layer_is_in_full_space_and_has_a_factor_of_its_own() -> None:
    layout = Layout({"body.weight": (4, 3), "head.weight": (3, 4)})
    params = layout.split(torch.randn(layout.size, dtype=torch.float64))
    like = torch.zeros((), dtype=torch.float64)
    noise = NoiseSource(like.device).at(step_keys(0, torch.tensor([0]))[0])
    context = Context(like, like, noise, layout, layout.weight_mask(like))
    body, head = params["body.weight"], params["head.weight"]
    found = Mhe(strength=0.5, half_space=True, s=1).penalty(params, context)
    expected = 0.5 * (mhe_energy(body, 1, half_space=True) + 10 * mhe_energy(head, 1))
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)
    alone = Mhe(strength=0.5, output_factor=0.0).penalty(params, context)
    assert alone.item() == pytest.approx(0.5 * mhe_energy(body).item(), rel=1e-12)
