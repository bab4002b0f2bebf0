"""Points spread over a sphere: what methods that drive units apart aim at, and how far they got.

No part of training needs it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from hpo.errors import InputError
from hpo.lazy import lazy
from hpo.train.regularizers.rows import as_rows, directions

if TYPE_CHECKING:
    import numpy as np
    import scipy.optimize as optimize
    import scipy.spatial as spatial
    import torch
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    # From points [n, d] and a power to a cost and its gradient [n, d].
    Cost = Callable[[Array, float], tuple[float, Array]]
else:
    np = lazy("numpy")
    optimize = lazy("scipy.optimize")
    spatial = lazy("scipy.spatial")
    torch = lazy("torch")

STEEPEST = 2**17
"""The power that stands for infinity: angles are within 0.002 degrees of those at the limit."""

FIRST = (2, 8, 32, 128)
"""Powers to begin with, in turns: the landscape of a small one has few valleys, not all good."""

EXACT = 4
"""Dimensions up to which all gaps between points are looked at; they are too many in more."""


def minimal_angles(weight: torch.Tensor) -> torch.Tensor:
    """The angle between each row and the one nearest to it.

    Args:
        weight: [n, d] or OIHW, n at least 2; rows of zeros have no angles, and are nobody's.

    Returns:
        [n], radians in [0, pi]; not a number for rows of zeros, or where no other row is left.
    """
    rows = as_rows(weight)
    if len(rows) < 2:
        raise InputError(f"angles are between two rows or more, got {len(rows)}", "")
    unit, alive = directions(rows)
    own = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    nearest = torch.where(own | ~alive, -2.0, unit @ unit.T).argmax(dim=1)
    other = unit[nearest]
    # By both diagonals of the rhombus, since an arc cosine has no digits left for small angles.
    across, along = (torch.linalg.vector_norm(v, dim=1) for v in (unit - other, unit + other))
    known = alive & alive[nearest] & ~own[torch.arange(len(unit)), nearest]
    return torch.where(known, 2 * torch.atan2(across, along), torch.nan)


def sphere_points(
    n: int, d: int, s: float = math.inf, *, starts: int = 16, seed: int = 0
) -> torch.Tensor:
    """Points on the unit sphere with the least Riesz energy that was found, or at s infinity with
    the largest minimal angle (Tammes).

    The energy is sum over i < j of |x_i - x_j|^-s, at s 0 of -log |x_i - x_j| (s 1 in three
    dimensions: Thomson). From each of some random starts L-BFGS descends on its logarithm, for
    powers of which each is four times the last one, up to s; the best end is returned. More starts
    find better ones where n is large. The same arguments give the same points.

    Args:
        n: points, at least 2.
        d: dimensions, at least 2.
        s: at least 0.
        starts: at least 1.
        seed: of the starts.

    Returns:
        [n, d], float64.

    Raises:
        InputError: an argument is out of range.

    Reference: Hardin & Saff 2004, Discretizing manifolds via minimum energy points.
    """
    for name, value, low in (("n", n, 2), ("d", d, 2), ("s", s, 0), ("starts", starts, 1)):
        if not value >= low:
            raise InputError(f"sphere_points needs {name} >= {low}, got {value}", "")
    rng = np.random.default_rng(seed)
    best, least = None, math.inf
    for start in range(starts):
        points = rng.standard_normal((n, d))
        for power in _powers(FIRST[start % len(FIRST)], min(s, STEEPEST)):
            points = _descend(_energy, points, power)
        cost = np.max(_gram(points)) if s == math.inf else _energy(points, s)[0]
        if best is None or cost < least:
            best, least = points, cost
    return torch.from_numpy(best)


def coverage_radius(points: torch.Tensor, *, starts: int = 64, seed: int = 0) -> torch.Tensor:
    """The largest angle between any direction and the point nearest to it.

    Cones of this half-angle around the points cover all directions. It is exact for points that
    leave a half-space free, and in up to 4 dimensions: the emptiest direction is normal to a facet
    of the points' convex hull. In more it is the largest one found by ascent, which may be less.

    Args:
        points: [n, d], d at least 2, of any lengths but zero.
        starts, seed: of the ascent.

    Returns:
        [], radians in [0, pi], float64.

    Raises:
        InputError: there is a row of zeros, or a single dimension.
    """
    unit, alive = directions(points.detach().cpu().double())
    if points.dim() != 2 or points.shape[1] < 2 or not bool(alive.all()):
        raise InputError(
            "coverage_radius needs points [n, d] with d at least 2 and no row of zeros, got "
            f"{list(points.shape)} with {int((~alive).sum())} of zeros",
            "",
        )
    return torch.tensor(math.acos(max(-1.0, _emptiest(unit.numpy(), starts, seed))))


def _powers(power: float, last: float) -> Iterator[float]:
    """The first power, four times as much and so on, and the last one."""
    while power < last:
        yield power
        power *= 4
    yield last


def _gram(points: Array) -> Array:
    """Cosines [n, n] of points at length 1; -1 in the diagonal."""
    gram = points @ points.T
    np.fill_diagonal(gram, -1.0)
    return gram


def _energy(points: Array, s: float) -> tuple[float, Array]:
    """log(mean over pairs of |x_i - x_j|^-s) / s, its limit at s 0, and the gradient [n, d]."""
    squares = 2 - 2 * points @ points.T
    np.fill_diagonal(squares, np.inf)
    squares = np.maximum(squares, 1e-300)
    pairs = len(points) * (len(points) - 1)
    if s == 0:
        np.fill_diagonal(squares, 1.0)
        value, shares = -np.log(squares).sum() / (2 * pairs), 1 / pairs
    else:
        logs = -s / 2 * np.log(squares)
        peak = logs.max()
        shares = np.exp(logs - peak)
        total = shares.sum()
        value, shares = (peak + np.log(total / pairs)) / s, shares / total
    forces = shares / squares
    np.fill_diagonal(forces, 0.0)
    return float(value), 2 * forces @ points


def _descend(cost: Cost, points: Array, power: float) -> Array:
    """Where L-BFGS ends on the sphere, from points [n, d] of any length on; at length 1."""

    def flat(vector: Array) -> tuple[float, Array]:
        x = vector.reshape(points.shape)
        lengths = np.linalg.norm(x, axis=1, keepdims=True)
        unit = x / lengths
        value, slopes = cost(unit, power)
        tangent = slopes - (slopes * unit).sum(1, keepdims=True) * unit
        return value, (tangent / lengths).ravel()

    options: Any = {"maxiter": 2000, "maxfun": 4000, "ftol": 1e-15, "gtol": 1e-10, "maxcor": 20}
    start = points / np.linalg.norm(points, axis=1, keepdims=True)
    found = optimize.minimize(flat, start.ravel(), jac=True, method="L-BFGS-B", options=options)
    end = found.x.reshape(points.shape)
    return np.asarray(end / np.linalg.norm(end, axis=1, keepdims=True))


def _emptiest(unit: Array, starts: int, seed: int) -> float:
    """The least, over directions u, of the largest cosine of u and a point."""
    n, d = unit.shape
    # Of the convex hull, the point nearest to the origin (Lawson & Hanson 1974, chapter 23).
    shares, _ = optimize.nnls(np.vstack([unit.T, np.ones(n)]), np.append(np.zeros(d), 1.0))
    distance = float(np.linalg.norm(shares @ unit) / shares.sum())
    if distance > 1e-9:  # u is opposite to it
        return -distance
    if np.linalg.matrix_rank(unit) < d:  # u is normal to all points
        return 0.0
    if d <= EXACT:
        return float(-spatial.ConvexHull(unit).equations[:, -1].max())
    first = np.random.default_rng(seed).standard_normal((starts, d))
    return min(_hole(unit, u) for u in first)


def _hole(unit: Array, start: Array) -> float:
    """The largest cosine of a point and the direction where a descent on it ends."""

    def cost(u: Array, power: float) -> tuple[float, Array]:
        logs = power * (unit @ u[0])
        peak = logs.max()
        shares = np.exp(logs - peak)
        total = shares.sum()
        return float((peak + np.log(total)) / power), (shares / total @ unit)[None]

    u = start[None]
    for power in _powers(FIRST[0], STEEPEST):
        u = _descend(cost, u, power)
    return float((unit @ u[0]).max())
