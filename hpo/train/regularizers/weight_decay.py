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


class WeightDecay(Regularizer):
    """Decoupled weight decay: w <- (1 - lr_t * strength) * w, beside the optimizer's step.

    As in SGDW and AdamW, the current learning rate scales the decay.
    """

    reference: ClassVar[str] = "Loshchilov & Hutter 2019, arXiv:1711.05101"

    strength: Annotated[float, PerLane(neutral=0.0)] = Field(
        ge=0, le=10, description="decay per unit of learning rate; weights only, not biases"
    )

    def on_update(
        self, update: torch.Tensor, params: torch.Tensor, context: Context
    ) -> torch.Tensor:
        return torch.addcmul(update, params, context.weights * self.strength)
