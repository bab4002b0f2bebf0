from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.layout import Feed, Named
from hpo.train.models.base import Activation, NormalizedModel, OnHidden, activation
from hpo.train.normalizations import DenseNormalization, ModelState, NoNormalization

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
else:
    F = lazy("torch.nn.functional")


class Mlp(NormalizedModel):
    """Dense layers; images are flattened. Without widths it is a linear model."""

    reference: ClassVar[str] = "Rumelhart et al. 1986"

    kind: Literal["mlp"] = "mlp"
    widths: tuple[Annotated[int, Field(ge=1, le=16384)], ...] = Field(
        (128, 128), max_length=64, description="units of each hidden layer"
    )
    activation: Activation = Field("relu", description="after each hidden layer")
    normalization: DenseNormalization = Field(
        default_factory=NoNormalization, description="of activations or weights, in hidden layers"
    )

    def shapes(self, inputs: tuple[int, ...], outputs: int) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {}
        sizes = (math.prod(inputs), *self.widths)
        for layer, (fan_in, fan_out) in enumerate(pairwise(sizes)):
            name = f"layers.{layer}"
            shapes |= self.normalization.layer(name, (fan_out, fan_in))
            shapes |= self.normalization.place(name, fan_out)
        last = f"layers.{len(self.widths)}"
        return {**shapes, f"{last}.weight": (outputs, sizes[-1]), f"{last}.bias": (outputs,)}

    def feeds(self) -> dict[str, Feed]:
        names = [f"layers.{layer}" for layer in range(len(self.widths) + 1)]
        return {name: Feed(name, to) for name, to in pairwise(names)}

    def apply(
        self, params: Named, state: Named, x: torch.Tensor, on_hidden: OnHidden, training: bool
    ) -> tuple[torch.Tensor, ModelState]:
        nonlinearity, normalization = activation(self.activation), self.normalization
        h = x.flatten(1)
        kept: ModelState = {}
        last = len(self.widths)
        for layer in range(last):
            name = f"layers.{layer}"
            z = F.linear(h, normalization.weight(params, name), params.get(f"{name}.bias"))
            z, own = normalization.before(z, name, params, state, training)
            kept |= own
            h = on_hidden(normalization.after(nonlinearity(z)), name)
        return F.linear(h, params[f"layers.{last}.weight"], params[f"layers.{last}.bias"]), kept
