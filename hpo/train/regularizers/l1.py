from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.regularizers.base import Context, PartState, Regularizer
from hpo.train.settings import PerLane

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


def soft_threshold(weight: torch.Tensor, amount: torch.Tensor | float) -> torch.Tensor:
    """The proximal operator of amount * |w|: sign(w) * max(|w| - amount, 0).

    Args:
        weight: of any shape.
        amount: not negative; broadcasts with `weight`.
    """
    bound = torch.as_tensor(amount, dtype=weight.dtype, device=weight.device)
    # As a difference of two equal numbers, what lies below the amount becomes a true zero.
    return weight - torch.clamp(weight, -bound, bound)


class L1(Regularizer):
    """Adds strength * sum |w| to the objective, as a proximal step after the optimizer's.

    w <- sign(w) * max(|w| - lr * strength, 0). A subgradient would never reach zero exactly.
    """

    reference: ClassVar[str] = "Tibshirani 1996 (lasso); Daubechies et al. 2004 (soft threshold)"

    strength: Annotated[float, PerLane(neutral=0.0)] = Field(
        ge=0, le=1, description="weight of sum |w|; weights only, not biases"
    )

    def after_step(
        self, params: torch.Tensor, state: PartState, context: Context
    ) -> tuple[torch.Tensor, PartState]:
        return soft_threshold(params, context.weights * (context.lr * self.strength)), state
