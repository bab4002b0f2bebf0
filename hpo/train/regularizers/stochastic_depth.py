from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.regularizers.base import Context, Regularizer
from hpo.train.regularizers.dropout import dropout
from hpo.train.settings import PerLane

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


def depth_rates(rate: torch.Tensor | float, num_branches: int) -> list[torch.Tensor | float]:
    """The share of each branch that is dropped, from first to last: rate * l / num_branches.

    Early branches make what all later ones read, and are kept more often.

    Args:
        rate: of the last branch, in [0, 1): 1 - p_L in the paper, where p_L survives.

    Reference: Huang et al. 2016, arXiv:1603.09382, equation 4.
    """
    return [rate * (branch / num_branches) for branch in range(1, num_branches + 1)]


class StochasticDepth(Regularizer):
    """Drops what is added to a bypass, for single rows of a batch, and divides the rest by the
    share that is kept, so that nothing is to do at evaluation.

    The paper drops a branch for a whole batch, and scales at evaluation. Of a transformer attention
    and dense layers are two branches.
    """

    reference: ClassVar[str] = "Huang et al. 2016, arXiv:1603.09382"

    rate: Annotated[float, PerLane(neutral=0.0)] = Field(
        ge=0, le=0.9, description="share of the rows for which the last branch is dropped"
    )
    decay: Literal["linear", "constant"] = Field(
        "linear",
        description="linear: from near 0 at the first branch up to rate; constant: rate at each",
    )

    def on_branch(self, h: torch.Tensor, site: str, context: Context) -> torch.Tensor:
        branches = context.layout.branches
        rate: torch.Tensor | float = self.rate
        if self.decay == "linear":
            rate = depth_rates(rate, len(branches))[branches.index(site)]
        rows = torch.Size((h.shape[0], *(1,) * (h.ndim - 1)))
        return dropout(h, rate, context.noise, f"regularization.stochastic_depth.{site}", rows)
