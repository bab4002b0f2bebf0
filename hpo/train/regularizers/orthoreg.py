from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.regularizers.base import Context, PartState
from hpo.train.regularizers.layer_penalty import LayerPart
from hpo.train.regularizers.rows import as_rows, directions, product
from hpo.train.settings import PerLane

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
else:
    torch = lazy("torch")
    F = lazy("torch.nn.functional")


def orthoreg_cost(weight: torch.Tensor, lam: torch.Tensor | float = 10.0) -> torch.Tensor:
    """What rows that point to one side cost: C = sum_i sum_{j != i} log(1 + exp(lam (c_ij - 1))).

    c_ij is the cosine of rows i and j. Only positive ones matter: at lam 10 a pair costs 0.69 if
    its rows coincide, 6.7e-3 at 60 degrees and 4.5e-5 at a right angle. Rows of zeros cost nothing.

    Args:
        weight: [n, d] or OIHW.
        lam: > 0, [], how local it is; 8 to 12 in the paper.

    Returns:
        [], at least 0; each pair counts twice.

    Reference: Rodriguez et al. 2017, arXiv:1611.01967.
    """
    unit, pairs = _pairs(weight)
    return (F.softplus(lam * (product(unit, unit.T) - 1)) * pairs).sum()


def orthoreg_gradient(weight: torch.Tensor, lam: torch.Tensor | float = 10.0) -> torch.Tensor:
    """The direction in which the cost rises: G_i = lam sum_{j != i} sigmoid(lam (c_ij - 1)) u_j.

    u_j is row j at length 1. It is the paper's: half the gradient of `orthoreg_cost` for rows of
    length 1, as if they stayed so. A step along it changes lengths as well, and turns short rows by
    more than long ones.

    Args:
        weight: [n, d] or OIHW.
        lam: > 0, [].

    Returns:
        as `weight`, 0 at rows of zeros.

    Reference: Rodriguez et al. 2017, arXiv:1611.01967.
    """
    unit, pairs = _pairs(weight)
    push = lam * torch.sigmoid(lam * (product(unit, unit.T) - 1)) * pairs
    return product(push, unit).view(weight.shape).to(weight.dtype)


def _pairs(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows at length 1, [n, d], and 1 for each pair of two rows that have directions, [n, n]."""
    unit, alive = directions(as_rows(weight))
    other = ~torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    return unit, (other & alive & alive.unsqueeze(1)).to(unit.dtype)


class OrthoReg(LayerPart):
    """Decorrelates units whose weights point to one side, and leaves opposite ones alone.

    After the optimizer's step w <- w - lr * strength * `orthoreg_gradient`.
    """

    reference: ClassVar[str] = "Rodriguez et al. 2017, OrthoReg, arXiv:1611.01967"

    strength: Annotated[float, PerLane(neutral=0.0)] = Field(
        ge=0, le=1000, description="weight of the gradient, before the learning rate; 0: none"
    )
    lam: Annotated[float, PerLane()] = Field(
        10.0, gt=0, le=100, description="how local: the larger, the smaller the angles that matter"
    )

    def active(self) -> bool:
        return self.in_play("strength")

    def after_step(
        self, params: torch.Tensor, state: PartState, context: Context
    ) -> tuple[torch.Tensor, PartState]:
        layout = context.layout
        named = layout.split(params)
        for name in self.names(layout):
            blocks = layout.matrices(name, named[name]).unbind()
            gradient = torch.stack([orthoreg_gradient(block, self.lam) for block in blocks])
            step = context.lr * self.strength * gradient
            named[name] = named[name] - step.view(layout.shapes[name])
        return layout.join(named), state
