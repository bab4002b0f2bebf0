from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from hpo.lazy import lazy
from hpo.train.regularizers.layer_penalty import LayerPenalty
from hpo.train.regularizers.rows import as_rows, directions, product

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

CLAMP = 0.99999
"""Cosines beyond it count as this one: the arc cosine has no slope at 1."""

NOBODY = -2.0


def mma_loss(weight: torch.Tensor) -> torch.Tensor:
    """The negative mean, over rows, of the angle between each row and the one nearest to it.

    L = -(1/n) sum_i min_{j != i} arccos(c_ij), in [-pi, 0], c_ij being the cosine of rows i and j,
    clamped to [-0.99999, 0.99999]. Beyond the clamp the slope is that at its edge, so that rows
    which all but coincide are driven apart as well; only rows that coincide exactly are not. A row
    of zeros has no angles and counts as pi / 2 without a gradient; of fewer than two rows L is 0.

    Args:
        weight: [n, d] or OIHW.

    Returns:
        [], radians.

    Reference: Wang et al. 2020, MMA Regularization, arXiv:2006.06527.
    """
    rows = as_rows(weight)
    n = rows.shape[0]
    if n < 2:
        return rows.sum() * 0
    unit, alive = directions(rows)
    own = torch.eye(n, dtype=torch.bool, device=rows.device)
    # Less than any cosine: a row is not its own neighbour, and a row of zeros is nobody's.
    gram = torch.where(own | ~alive, NOBODY, product(unit, unit.T))
    nearest = gram.max(dim=1).values
    nearest = torch.where(nearest > NOBODY, nearest, 0.0)
    clamped = nearest + (nearest.clamp(-CLAMP, CLAMP) - nearest).detach()
    return -torch.arccos(clamped).mean()


class Mma(LayerPenalty):
    """Maximises the minimal angles: drives each unit's weights away from those most like them.

    Adds strength * sum over layers of `mma_loss`. It changes directions only: without a decay
    lengths grow, and directions then change ever more slowly.
    """

    reference: ClassVar[str] = "Wang et al. 2020, MMA Regularization, arXiv:2006.06527"

    def cost(self, weight: torch.Tensor) -> torch.Tensor:
        return mma_loss(weight)
