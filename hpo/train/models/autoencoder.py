from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.layout import Named
from hpo.train.models.base import Activation, ModelPart, OnHidden, activation
from hpo.train.normalizations import ModelState
from hpo.train.task import Task

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
else:
    F = lazy("torch.nn.functional")


class Autoencoder(ModelPart):
    """Dense layers down to a code and, mirrored, up again to the inputs.

    The code has no activation: without widths it spans the principal components.
    """

    reference: ClassVar[str] = "Hinton & Salakhutdinov 2006; linear: Baldi & Hornik 1989"
    tasks: ClassVar[frozenset[Task]] = frozenset({"reconstruction"})

    kind: Literal["autoencoder"] = "autoencoder"
    widths: tuple[Annotated[int, Field(ge=1, le=16384)], ...] = Field(
        (128,), max_length=32, description="units of each hidden layer before the code"
    )
    code: int = Field(16, ge=1, le=16384, description="numbers in the code")
    activation: Activation = Field("relu", description="after each hidden layer but the code")
    tied: bool = Field(False, description="decoding uses the encoder's weights, transposed")

    def shapes(self, inputs: tuple[int, ...], outputs: int) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {}
        sizes = (math.prod(inputs), *self.widths, self.code)
        for layer, (fan_in, fan_out) in enumerate(pairwise(sizes)):
            shapes[f"encoder.{layer}.weight"] = (fan_out, fan_in)
            shapes[f"encoder.{layer}.bias"] = (fan_out,)
        for layer, (fan_in, fan_out) in enumerate(pairwise(reversed(sizes))):
            if not self.tied:
                shapes[f"decoder.{layer}.weight"] = (fan_out, fan_in)
            shapes[f"decoder.{layer}.bias"] = (fan_out,)
        return shapes

    def apply(
        self, params: Named, state: Named, x: torch.Tensor, on_hidden: OnHidden, training: bool
    ) -> tuple[torch.Tensor, ModelState]:
        nonlinearity = activation(self.activation)
        last = len(self.widths)
        h = x.flatten(1)
        for layer in range(last + 1):
            name = f"encoder.{layer}"
            h = F.linear(h, params[f"{name}.weight"], params[f"{name}.bias"])
            h = on_hidden(h if layer == last else nonlinearity(h), name)
        for layer in range(last + 1):
            name = f"decoder.{layer}"
            weight = (
                params[f"encoder.{last - layer}.weight"].T
                if self.tied
                else params[f"{name}.weight"]
            )
            h = F.linear(h, weight, params[f"{name}.bias"])
            if layer < last:
                h = on_hidden(nonlinearity(h), name)
        return h, {}
