from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.layout import Named
from hpo.train.regularizers.base import Context
from hpo.train.regularizers.layer_penalty import LayerPart
from hpo.train.regularizers.rows import as_rows, directions, product
from hpo.train.settings import PerLane

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

FLOOR = 1e-4
"""Squared distances below it count as this one: 0.57 degrees, an energy of 1e4 at s 2."""

EDGE = 1e-6
"""How near to 4, that of opposite points, a squared distance comes: angles have no slope there."""

TURN = 1e-4
"""Added to angles, in half turns, as the reference does."""


def mhe_energy(
    weight: torch.Tensor, s: float = 2, half_space: bool = False, angular: bool = False
) -> torch.Tensor:
    """The mean energy of two rows that repel each other: E = mean over i < j of f_s(u_i, u_j).

    u_i is row i at length 1. With q = |u_i - u_j|^2 it is q^(-s/2), and -log q at s 0, twice the
    paper's -log |u_i - u_j|; if `angular`, t^-s and -log t with t = angle / pi + 1e-4. In half
    space a row counts as a line: the 2n points u and -u repel each other, each its own opposite
    included.

    Any weight has a finite energy and gradient. Squared distances below 1e-4 count as 1e-4, with
    the slope that is there; only points that coincide exactly do not move apart. Rows of zeros have
    no direction and count nowhere; of fewer than two rows E is 0.

    Args:
        weight: [n, d] or OIHW.
        s: at least 0; 0, 1 and 2 in the paper.

    Returns:
        [].

    Reference: Liu et al. 2018, Learning towards minimum hyperspherical energy, arXiv:1805.09298.
    """
    unit, alive = directions(as_rows(weight))
    if len(unit) < 2:
        return unit.sum() * 0
    if half_space:
        unit, alive = torch.cat([unit, -unit]), alive.repeat(2)
    i, j = torch.triu_indices(len(unit), len(unit), 1, device=unit.device)
    squares = _squared_distances(unit, i, j)
    bounded = squares.clamp(FLOOR, 4 - EDGE if angular else None)
    squares = squares + (bounded - squares).detach()
    if angular:
        turns = torch.asin(squares.sqrt() / 2) * (2 / math.pi) + TURN
        costs = turns**-s if s else -turns.log()
    else:
        costs = squares ** (-s / 2) if s else -squares.log()
    both = alive[i] & alive[j]
    return torch.where(both, costs, 0.0).sum() / both.sum().clamp(min=1)


def _squared_distances(unit: torch.Tensor, i: torch.Tensor, j: torch.Tensor) -> torch.Tensor:
    """|u_i - u_j|^2 of pairs i, j int64 [M], [M]; of the closest ones to full precision.

    2 - 2 u_i u_j, without differences of all pairs, has no digits left for points that almost
    coincide.
    """
    squares = 2 - 2 * product(unit, unit.T)[i, j]
    closest = squares.detach().topk(min(len(unit), len(i)), largest=False).indices
    differences = unit[i[closest]] - unit[j[closest]]
    return squares.scatter(0, closest, differences.square().sum(1))


class Energy(LayerPart):
    """Adds strength * the sum over layers of the energy of their units to the loss.

    The output layer's is that of its rows as points, times a factor of its own: its units stand for
    classes, of which opposite ones are not alike.
    """

    strength: Annotated[float, PerLane(neutral=0.0)] = Field(
        ge=0, le=1000, description="weight of the sum of hidden layers' energies; 0: none"
    )
    output_factor: Annotated[float, PerLane()] = Field(
        10.0, ge=0, le=1000, description="weight of the output layer's energy beside theirs"
    )
    s: Literal[0, 1, 2] = Field(
        2, description="how local: the power of the distance, of which 0 is the logarithm"
    )

    @abstractmethod
    def energies(self, name: str, weights: torch.Tensor, context: Context) -> torch.Tensor:
        """Of a hidden layer's weights [S, n, d] by name, [S]."""

    @abstractmethod
    def output_energy(self, weight: torch.Tensor) -> torch.Tensor:
        """Of a weight [n, d] in the output layer, []."""

    def active(self) -> bool:
        return self.in_play("strength")

    def penalty(self, params: Named, context: Context) -> torch.Tensor:
        layout, energies = context.layout, []
        for name in self.names(layout):
            weights = layout.matrices(name, params[name])
            if layout.in_head(name):
                own = torch.stack([self.output_energy(weight) for weight in weights.unbind()])
                energies.append(self.output_factor * own.sum())
            else:
                energies.append(self.energies(name, weights, context).sum())
        return self.strength * torch.stack(energies).sum()


class Mhe(Energy):
    """Minimum hyperspherical energy: units repel each other like charges on a sphere."""

    reference: ClassVar[str] = "Liu et al. 2018, MHE, arXiv:1805.09298"

    half_space: bool = Field(
        False, description="whether a hidden unit repels others' opposites, too"
    )
    angular: bool = Field(False, description="whether angles repel in place of distances")

    def energies(self, name: str, weights: torch.Tensor, context: Context) -> torch.Tensor:
        own = [mhe_energy(w, self.s, self.half_space, self.angular) for w in weights.unbind()]
        return torch.stack(own)

    def output_energy(self, weight: torch.Tensor) -> torch.Tensor:
        return mhe_energy(weight, self.s, angular=self.angular)
