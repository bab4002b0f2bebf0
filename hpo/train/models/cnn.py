from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.layout import Feed, Named
from hpo.train.models.base import (
    Activation,
    NormalizedModel,
    OnHidden,
    activation,
    image_shape,
)
from hpo.train.normalizations import ModelState

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
else:
    F = lazy("torch.nn.functional")


class Cnn(NormalizedModel):
    """Stages of 3x3 convolution, activation and 2x2 max-pooling; then one dense layer."""

    reference: ClassVar[str] = "LeCun et al. 1998; 3x3 stages: Simonyan & Zisserman 2015"

    kind: Literal["cnn"] = "cnn"
    channels: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field(
        (16, 32), min_length=1, max_length=16, description="filters of each stage"
    )
    activation: Activation = Field("relu", description="after each convolution")

    def shapes(self, inputs: tuple[int, ...], outputs: int) -> dict[str, tuple[int, ...]]:
        stages = len(self.channels)
        planes, height, width = image_shape(self.kind, inputs, halvings=stages)
        shapes: dict[str, tuple[int, ...]] = {}
        for stage, filters in enumerate(self.channels):
            name = f"stages.{stage}"
            shapes |= self.normalization.layer(name, (filters, planes, 3, 3))
            shapes |= self.normalization.place(name, filters)
            planes = filters
        pixels = (height >> stages) * (width >> stages)
        return {**shapes, "head.weight": (outputs, planes * pixels), "head.bias": (outputs,)}

    def feeds(self) -> dict[str, Feed]:
        names = [*(f"stages.{stage}" for stage in range(len(self.channels))), "head"]
        return {name: Feed(name, to) for name, to in pairwise(names)}

    def apply(
        self, params: Named, state: Named, x: torch.Tensor, on_hidden: OnHidden, training: bool
    ) -> tuple[torch.Tensor, ModelState]:
        nonlinearity, normalization = activation(self.activation), self.normalization
        h = x
        kept: ModelState = {}
        for stage in range(len(self.channels)):
            name = f"stages.{stage}"
            weight, bias = normalization.weight(params, name), params.get(f"{name}.bias")
            z = F.conv2d(h, weight, bias, padding=1)
            z, own = normalization.before(z, name, params, state, training)
            kept |= own
            h = on_hidden(F.max_pool2d(normalization.after(nonlinearity(z)), 2), name)
        return F.linear(h.flatten(1), params["head.weight"], params["head.bias"]), kept
