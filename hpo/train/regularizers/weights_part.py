"""What methods have in common that change the weights which the forward pass sees."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from pydantic import Field

from hpo.errors import InputError
from hpo.train.layout import Layers, Layout, Named
from hpo.train.regularizers.base import Context, Regularizer

if TYPE_CHECKING:
    import torch


class WeightsPart(Regularizer):
    """Replaces weights of some layers in the forward pass alone: the step updates what is behind.

    Biases, gains and embeddings are left alone, and weights whose length means nothing
    (`WeightNorm`).
    """

    layers: Layers = Field(
        "all", description="whose weights: all, hidden (no head), conv, linear, or names of layers"
    )

    @abstractmethod
    def replaced(self, weight: torch.Tensor, name: str, context: Context) -> torch.Tensor:
        """What the forward pass sees of a weight, in its shape."""

    def check(self, name: str, inputs: tuple[int, ...], layout: Layout) -> None:
        try:
            layout.select(self.layers)
        except InputError as error:
            raise InputError(f"{name}.layers: {error.message}", error.hint) from None

    def on_params(self, params: Named, context: Context) -> Named:
        changed = {
            name: self.replaced(params[name], name, context)
            for name in context.layout.select(self.layers)
        }
        return {**params, **changed}
