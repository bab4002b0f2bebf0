from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from hpo.lazy import lazy
from hpo.train.regularizers.layer_penalty import LayerPenalty
from hpo.train.regularizers.rows import as_rows, product

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


def orthogonality_cost(weight: torch.Tensor) -> torch.Tensor:
    """How far rows are from orthonormal: |W W^T - I|_F^2, rows as they are, not at length 1.

    More rows than columns cannot be orthogonal, so that then columns are compared, |W^T W - I|_F^2:
    it has the same gradient, is less by the constant n - d, and 0 where W is a tight frame.

    Args:
        weight: [n, d] or OIHW.

    Returns:
        [], at least 0.

    Reference: Xie et al. 2017, arXiv:1703.01827; Bansal et al. 2018, arXiv:1810.09102, there called
    soft orthogonality.
    """
    rows = as_rows(weight)
    n, d = rows.shape
    gram = product(rows, rows.T) if n <= d else product(rows.T, rows)
    return (gram - torch.eye(len(gram), dtype=rows.dtype, device=rows.device)).square().sum()


class Orthogonality(LayerPenalty):
    """Draws the weights of a layer's units to length 1 and to right angles of each other.

    Adds strength * sum over layers of `orthogonality_cost`. Weights whose length means nothing
    (`WeightNorm`) are left alone.
    """

    reference: ClassVar[str] = "Bansal et al. 2018, soft orthogonality, arXiv:1810.09102"
    directions: ClassVar[bool] = False

    def cost(self, weight: torch.Tensor) -> torch.Tensor:
        return orthogonality_cost(weight)
