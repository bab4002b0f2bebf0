from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hpo.errors import InputError
from hpo.functional import coverage_radius, minimal_angles, mma_loss, sphere_points

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "golden.json").read_text())
TAMMES = GOLDEN["tammes_R3_min_angle_deg"]["values"]
RIESZ = GOLDEN["riesz_min_energy_R3_sum_i_lt_j"]["values"]


def smallest(points: torch.Tensor) -> float:
    """The least of all angles, in degrees."""
    return math.degrees(minimal_angles(points).min())


def simplex(d: int) -> torch.Tensor:
    centred = np.eye(d + 1) - 1 / (d + 1)
    return torch.tensor(np.linalg.svd(centred)[0][:, :d])


def cross(d: int) -> torch.Tensor:
    eye = torch.eye(d, dtype=torch.float64)
    return torch.cat([eye, -eye])


def icosahedron() -> torch.Tensor:
    golden = (1 + math.sqrt(5)) / 2
    corners = [(0.0, a, b * golden) for a in (-1, 1) for b in (-1, 1)]
    return torch.tensor([c[i:] + c[:i] for c in corners for i in range(3)], dtype=torch.float64)


# ---- points ----


@pytest.mark.parametrize("n", TAMMES)
def test_largest_minimal_angles_in_space(n: str) -> None:
    points = sphere_points(int(n), 3)
    assert points.shape == (int(n), 3) and points.dtype == torch.float64
    assert torch.allclose(points.norm(dim=1), torch.ones(int(n), dtype=torch.float64))
    found, best = smallest(points), TAMMES[n]["exact_deg"]
    assert best - 5e-4 < found < best + 1e-6


@pytest.mark.parametrize(("n", "d"), [(2, 5), (3, 2), (4, 8), (5, 4), (8, 7), (11, 10)])
def test_up_to_one_more_than_dimensions_they_are_a_simplex(n: int, d: int) -> None:
    expected = GOLDEN["tammes_general"]["simplex_n_le_dplus1"][str(n)]["deg"]
    assert smallest(sphere_points(n, d, starts=4)) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    ("n", "d", "degrees"), [(7, 5, 90), (10, 5, 90), (5, 2, 72), (7, 2, 360 / 7), (24, 4, 60)]
)
def test_known_angles_in_other_dimensions(n: int, d: int, degrees: float) -> None:
    assert smallest(sphere_points(n, d)) == pytest.approx(degrees, abs=2e-3)


@pytest.mark.parametrize("s", [0, 1, 2])
@pytest.mark.parametrize("n", RIESZ)
def test_least_energies_in_space(n: str, s: int) -> None:
    distances = torch.pdist(sphere_points(int(n), 3, s, starts=4))
    energy = (distances**-s if s else -distances.log()).sum().item()
    assert energy == pytest.approx(RIESZ[n][f"s{s}"], rel=1e-9)


def test_powers_between_are_between() -> None:
    """Of seven points in space, whose best arrangement differs with the power."""
    angles = [smallest(sphere_points(7, 3, s, starts=4)) for s in (2, 50, math.inf)]
    assert angles == sorted(angles) and angles[-1] - angles[0] > 1


def test_the_same_seed_gives_the_same_points() -> None:
    first, again, other = (sphere_points(9, 3, 1, starts=1, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.allclose(first, other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 1, "d": 3}, "n >= 2, got 1"),
        ({"n": 4, "d": 1}, "d >= 2, got 1"),
        ({"n": 4, "d": 3, "s": -1}, "s >= 0, got -1"),
        ({"n": 4, "d": 3, "s": math.nan}, "s >= 0, got nan"),
        ({"n": 4, "d": 3, "starts": 0}, "starts >= 1, got 0"),
    ],
)
def test_what_cannot_be_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"sphere_points needs {message}"):
        sphere_points(**arguments)


# ---- angles ----


def test_minimal_angles_are_those_of_each_row() -> None:
    rows = torch.tensor([[1.0, 0.0], [1.0, 1.0], [-2.0, 0.0]], dtype=torch.float64)
    expected = [math.pi / 4, math.pi / 4, 3 * math.pi / 4]
    assert minimal_angles(rows).tolist() == pytest.approx(expected, rel=1e-12)
    weight = torch.randn(8, 5, dtype=torch.float64)
    assert -minimal_angles(weight).mean() == pytest.approx(mma_loss(weight).item(), rel=1e-9)
    assert torch.equal(minimal_angles(weight.view(8, 5, 1, 1)), minimal_angles(weight))


def test_small_angles_have_all_their_digits() -> None:
    rows = torch.tensor([[1.0, 0.0], [1.0, 1e-5]])
    assert minimal_angles(rows).tolist() == pytest.approx([1e-5] * 2, rel=1e-5)
    same = torch.tensor([[1.0, 2.0], [1.0, 2.0]])
    assert minimal_angles(same).tolist() == [0, 0]


def test_rows_of_zeros_have_no_angles() -> None:
    rows = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    found = minimal_angles(rows)
    assert found[1].isnan() and found[[0, 2]].tolist() == pytest.approx([math.pi / 2] * 2)
    assert minimal_angles(rows[:2]).isnan().all()
    with pytest.raises(InputError, match="two rows or more, got 1"):
        minimal_angles(rows[:1])


def test_angles_are_mapped_over_weights() -> None:
    weights = torch.randn(3, 6, 4)
    for found, weight in zip(torch.func.vmap(minimal_angles)(weights), weights, strict=True):
        assert torch.allclose(found, minimal_angles(weight))


# ---- coverage ----


@pytest.mark.parametrize("d", [2, 3, 4, 6, 10])
def test_coverage_of_a_simplex_and_a_cross_polytope(d: int) -> None:
    precise = 1e-6 if d <= 4 else 1e-3  # radians; above it is found by ascent
    found = coverage_radius(simplex(d)).item()
    assert found == pytest.approx(math.acos(1 / d), abs=precise)
    found = coverage_radius(3 * cross(d)).item()
    assert found == pytest.approx(math.acos(1 / math.sqrt(d)), abs=precise)


def test_coverage_of_an_icosahedron() -> None:
    assert math.degrees(coverage_radius(icosahedron())) == pytest.approx(37.3774, abs=1e-4)
    assert smallest(icosahedron()) == pytest.approx(63.43494882292201, abs=1e-9)


@pytest.mark.parametrize("d", [2, 3, 6])
def test_points_that_leave_a_half_space_free(d: int) -> None:
    one = torch.zeros(1, d)
    one[0, 0] = 1
    assert coverage_radius(one).item() == pytest.approx(math.pi)
    two = torch.eye(d)[:2]
    assert coverage_radius(two).item() == pytest.approx(math.pi - math.pi / 4)
    opposite = torch.cat([one, -one])
    assert coverage_radius(opposite).item() == pytest.approx(math.pi / 2), "seen from their equator"


def test_coverage_is_no_less_than_what_random_directions_find() -> None:
    points = torch.randn(12, 3, dtype=torch.float64)
    unit = points / points.norm(dim=1, keepdim=True)
    radius = coverage_radius(points).item()
    u = torch.randn(200_000, 3, dtype=torch.float64)
    found = torch.arccos((u / u.norm(dim=1, keepdim=True) @ unit.T).max(dim=1).values.min()).item()
    assert found <= radius <= found + 0.02


@pytest.mark.parametrize("points", [[[1.0], [-1.0]], [[1.0, 0.0], [0.0, 0.0]]])
def test_coverage_needs_directions(points: list[list[float]]) -> None:
    with pytest.raises(InputError, match="coverage_radius needs points"):
        coverage_radius(torch.tensor(points))
