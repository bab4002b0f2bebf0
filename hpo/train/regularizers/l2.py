from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.regularizers.base import Context, Regularizer
from hpo.train.settings import PerLane

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


class L2(Regularizer):
    """Adds strength/2 * sum w**2 to the objective: g <- g + strength * w.

    The term passes through clipping, momentum and adaptive scaling as the rest of the gradient
    does; with adaptive optimizers this is not weight decay.
    """

    reference: ClassVar[str] = "Hoerl & Kennard 1970 (ridge); Krogh & Hertz 1991"

    strength: Annotated[float, PerLane(neutral=0.0)] = Field(
        ge=0, le=10, description="weight of sum w**2 / 2; weights only, not biases"
    )

    def on_grads(self, grads: torch.Tensor, params: torch.Tensor, context: Context) -> torch.Tensor:
        return torch.addcmul(grads, params, context.weights * self.strength)
