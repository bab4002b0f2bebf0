from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.layout import Named
from hpo.train.models.base import Activation, ModelPart, OnHidden, activation

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
else:
    F = lazy("torch.nn.functional")


class Mlp(ModelPart):
    """Dense layers; images are flattened. Without widths it is a linear model."""

    reference: ClassVar[str] = "Rumelhart et al. 1986"

    kind: Literal["mlp"] = "mlp"
    widths: tuple[Annotated[int, Field(ge=1, le=16384)], ...] = Field(
        (128, 128), max_length=64, description="units of each hidden layer"
    )
    activation: Activation = Field("relu", description="after each hidden layer")

    def shapes(self, inputs: tuple[int, ...], outputs: int) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {}
        sizes = (math.prod(inputs), *self.widths, outputs)
        for layer, (fan_in, fan_out) in enumerate(pairwise(sizes)):
            shapes[f"layers.{layer}.weight"] = (fan_out, fan_in)
            shapes[f"layers.{layer}.bias"] = (fan_out,)
        return shapes

    def apply(self, params: Named, x: torch.Tensor, on_hidden: OnHidden) -> torch.Tensor:
        nonlinearity = activation(self.activation)
        h = x.flatten(1)
        last = len(self.widths)
        for layer in range(last):
            name = f"layers.{layer}"
            h = nonlinearity(F.linear(h, params[f"{name}.weight"], params[f"{name}.bias"]))
            h = on_hidden(h, name)
        return F.linear(h, params[f"layers.{last}.weight"], params[f"layers.{last}.bias"])
