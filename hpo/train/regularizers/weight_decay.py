from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.regularizers.base import Context, Regularizer
from hpo.train.settings import PerLane

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


class WeightDecay(Regularizer):
    """Decoupled weight decay: w <- (1 - lr_t * lambda) * w, beside the optimizer's step.

    As in SGDW and AdamW, the current learning rate lr_t scales the decay. The strength is lambda,
    or, with `decay_rule: product`, lambda times the peak learning rate: what a step at the peak
    takes off a weight. The product can be searched apart from the learning rate, lambda cannot.
    """

    reference: ClassVar[str] = (
        "Loshchilov & Hutter 2019, arXiv:1711.05101; "
        "product: Wang & Aitchison 2024, arXiv:2405.13698"
    )

    strength: Annotated[float, PerLane(neutral=0.0)] = Field(
        ge=0,
        le=10,
        description="lambda, or its product with the learning rate; weights only, not biases",
    )
    decay_rule: Literal["coefficient", "product"] = Field(
        "coefficient",
        description="coefficient: strength is lambda; product: it is lambda times learning rate",
    )

    def per_step(self, learning_rate: float) -> float:
        """The share of a weight that a step at the peak learning rate takes off."""
        return self.strength if self.decay_rule == "product" else self.strength * learning_rate

    def as_coefficient(self, learning_rate: float) -> Self:
        """The same decay with lambda as its strength, for a peak learning rate above 0."""
        if self.decay_rule == "coefficient":
            return self
        return self.model_copy(
            update={"strength": self.strength / learning_rate, "decay_rule": "coefficient"}
        )

    def on_update(
        self, update: torch.Tensor, params: torch.Tensor, context: Context
    ) -> torch.Tensor:
        return torch.addcmul(update, params, context.weights * self.strength)
