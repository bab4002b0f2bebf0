from __future__ import annotations

from collections.abc import Iterator
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


class ResNet(NormalizedModel):
    """Residual stages, each of which but the first halves the image; then one dense layer.

    A block is h <- skip(h) + conv(a(conv(a(h)))), a being normalization and activation. skip is the
    identity, or, where a stage begins with other channels and half the pixels, a 1x1 convolution of
    a(h). The dense layer sees means over all pixels of a(h).
    """

    reference: ClassVar[str] = "He et al. 2016, arXiv:1603.05027 (full pre-activation)"

    kind: Literal["resnet"] = "resnet"
    channels: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field(
        (16, 32), min_length=1, max_length=16, description="filters of each stage"
    )
    blocks: int = Field(1, ge=1, le=64, description="of each stage, two 3x3 convolutions each")
    activation: Activation = Field("relu", description="before each convolution but the first")

    def shapes(self, inputs: tuple[int, ...], outputs: int) -> dict[str, tuple[int, ...]]:
        planes, _, _ = image_shape(self.kind, inputs, halvings=len(self.channels) - 1)
        normalization, last = self.normalization, self.channels[-1]
        shapes = normalization.layer("stem", (self.channels[0], planes, 3, 3))
        for block, wide, filters, stride in self._blocks():
            if stride > 1:
                shapes[f"{block}.skip.weight"] = (filters, wide, 1, 1)
            for name, planes in ((f"{block}.conv1", wide), (f"{block}.conv2", filters)):
                shapes |= normalization.place(name, planes)
                shapes |= normalization.layer(name, (filters, planes, 3, 3))
        shapes |= normalization.place("head", last)
        return {**shapes, "head.weight": (outputs, last), "head.bias": (outputs,)}

    def feeds(self) -> dict[str, Feed]:
        # All others add to a bypass, which every later block sees.
        seconds = [f"{block}.conv2" for block, *_ in self._blocks()]
        return {f"{to.removesuffix('2')}1": Feed(to, to) for to in seconds}

    def apply(
        self, params: Named, state: Named, x: torch.Tensor, on_hidden: OnHidden, training: bool
    ) -> tuple[torch.Tensor, ModelState]:
        nonlinearity, normalization = activation(self.activation), self.normalization
        kept: ModelState = {}

        def activated(h: torch.Tensor, name: str) -> torch.Tensor:
            z, own = normalization.before(h, name, params, state, training)
            kept.update(own)
            return normalization.after(nonlinearity(z))

        def convolved(h: torch.Tensor, name: str, stride: int = 1) -> torch.Tensor:
            weight, bias = normalization.weight(params, name), params.get(f"{name}.bias")
            return F.conv2d(h, weight, bias, stride, padding=1)

        h = convolved(x, "stem")
        for block, _, _, stride in self._blocks():
            first, second = f"{block}.conv1", f"{block}.conv2"
            a = on_hidden(activated(h, first), first)
            if stride > 1:
                h = F.conv2d(a, params[f"{block}.skip.weight"], stride=stride)
            a = on_hidden(activated(convolved(a, first, stride), second), second)
            h = h + on_hidden(convolved(a, second), block, "branch")
        a = on_hidden(activated(h, "head").mean((2, 3)), "head")
        return F.linear(a, params["head.weight"], params["head.bias"]), kept

    def branches(self) -> tuple[str, ...]:
        return tuple(block for block, *_ in self._blocks())

    def _blocks(self) -> Iterator[tuple[str, int, int, int]]:
        """Name, channels before and after, and stride of each block."""
        planes = self.channels[0]
        for stage, filters in enumerate(self.channels):
            for block in range(self.blocks):
                yield f"stages.{stage}.{block}", planes, filters, 2 if stage and not block else 1
                planes = filters
