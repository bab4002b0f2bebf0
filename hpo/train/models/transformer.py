from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from hpo.lazy import lazy
from hpo.train.layout import Named
from hpo.train.models.base import Activation, OnHidden, activation
from hpo.train.models.sequences import (
    EMBEDDING,
    POSITIONS,
    SequenceModel,
    by_step,
    embed,
    length_and_channels,
)
from hpo.train.normalizations import ModelState
from hpo.train.task import Window

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
else:
    torch = lazy("torch")
    F = lazy("torch.nn.functional")


def sinusoids(length: int, width: int) -> torch.Tensor:
    """sin(t * f) and cos(t * f) in turn at positions t, with f from 1 down to nearly 1e-4, float64
    [length, width]."""
    t = torch.arange(length, dtype=torch.float64).unsqueeze(1)
    angles = t * torch.pow(1e-4, torch.arange(0, width, 2, dtype=torch.float64) / width)
    return torch.stack([angles.sin(), angles.cos()], 2).flatten(1)[:, :width]


class Transformer(SequenceModel):
    """Blocks of self-attention and two dense layers, each behind a layer norm and beside a bypass:
    h <- h + attention(norm1(h)), h <- h + linear2(activation(linear1(norm2(h)))).

    In a text a character attends to itself and to those before it. In a series all steps attend to
    all, and their mean goes into the dense layer at the end. Positions are learned, from sinusoids
    on: from 0, or from random numbers, short trainings hardly find out what comes where. Embeddings
    are multiplied by sqrt(width), to be no smaller. Parameters are named as in
    `torch.nn.TransformerEncoder` with `norm_first`.
    """

    reference: ClassVar[str] = (
        "Vaswani et al. 2017, arXiv:1706.03762; norm first: Xiong et al. 2020, arXiv:2002.04745"
    )

    kind: Literal["transformer"] = "transformer"
    width: int = Field(64, ge=1, le=16384, description="numbers at each position")
    layers: int = Field(2, ge=1, le=64, description="blocks, one after the other")
    heads: int = Field(4, ge=1, le=256, description="of the attention; a divisor of width")
    hidden: int = Field(256, ge=1, le=65536, description="units between the two dense layers")
    activation: Activation = Field("gelu", description="of those units")

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(
                f"heads must divide width, got {self.heads} heads of width {self.width}; give a "
                "multiple of heads as width"
            )
        return self

    def shapes(self, inputs: tuple[int, ...], outputs: int) -> dict[str, tuple[int, ...]]:
        width, hidden = self.width, self.hidden
        shapes: dict[str, tuple[int, ...]]
        if isinstance(inputs, Window):
            length = inputs.length
            shapes = {EMBEDDING: (inputs.characters, width)}
        else:
            length, channels = length_and_channels(inputs)
            shapes = {"input.weight": (width, channels), "input.bias": (width,)}
        shapes[POSITIONS] = (length, width)
        for layer in range(self.layers):
            block: dict[str, tuple[int, ...]] = {
                "norm1.weight": (width,),
                "norm1.bias": (width,),
                "self_attn.in_proj_weight": (3 * width, width),
                "self_attn.in_proj_bias": (3 * width,),
                "self_attn.out_proj.weight": (width, width),
                "self_attn.out_proj.bias": (width,),
                "norm2.weight": (width,),
                "norm2.bias": (width,),
                "linear1.weight": (hidden, width),
                "linear1.bias": (hidden,),
                "linear2.weight": (width, hidden),
                "linear2.bias": (width,),
            }
            shapes |= {f"layers.{layer}.{name}": shape for name, shape in block.items()}
        shapes |= {"norm.weight": (width,), "norm.bias": (width,)}
        return shapes | {"head.weight": (outputs, width), "head.bias": (outputs,)}

    def stacked(self, name: str) -> int:
        return 3 if name.endswith("in_proj_weight") else 1

    def branches(self) -> tuple[str, ...]:
        both = ("self_attn", "linear2")
        return tuple(f"layers.{layer}.{name}" for layer in range(self.layers) for name in both)

    def initial(self, name: str, shape: tuple[int, ...]) -> torch.Tensor | None:
        if name == POSITIONS:
            return sinusoids(*shape)
        if "norm" in name and name.endswith("weight"):
            return torch.ones(shape, dtype=torch.float64)
        return None

    def apply(
        self, params: Named, state: Named, x: torch.Tensor, on_hidden: OnHidden, training: bool
    ) -> tuple[torch.Tensor, ModelState]:
        def linear(h: torch.Tensor, name: str) -> torch.Tensor:
            return F.linear(h, params[f"{name}.weight"], params[f"{name}.bias"])

        def norm(h: torch.Tensor, name: str) -> torch.Tensor:
            return F.layer_norm(h, h.shape[-1:], params[f"{name}.weight"], params[f"{name}.bias"])

        def branch(h: torch.Tensor, name: str) -> torch.Tensor:
            return on_hidden(on_hidden(h, name), name, "branch")

        nonlinearity = activation(self.activation)
        characters = EMBEDDING in params
        if characters:
            h = math.sqrt(self.width) * embed(params, x, on_hidden)
        else:
            h = linear(by_step(x), "input")
        h = h + params[POSITIONS][: h.shape[1]]
        for layer in range(self.layers):
            name = f"layers.{layer}"
            a = self._attention(norm(h, f"{name}.norm1"), params, f"{name}.self_attn", characters)
            h = h + branch(linear(a, f"{name}.self_attn.out_proj"), f"{name}.self_attn")
            f = nonlinearity(linear(norm(h, f"{name}.norm2"), f"{name}.linear1"))
            f = linear(on_hidden(f, f"{name}.linear1"), f"{name}.linear2")
            h = h + branch(f, f"{name}.linear2")
        h = norm(h, "norm")
        return linear(h if characters else h.mean(1), "head"), {}

    def _attention(self, h: torch.Tensor, params: Named, name: str, causal: bool) -> torch.Tensor:
        projected = F.linear(h, params[f"{name}.in_proj_weight"], params[f"{name}.in_proj_bias"])
        batch, length, width = h.shape
        # Each of the three is [B, heads, L, width / heads].
        shape = (batch, length, 3, self.heads, width // self.heads)
        q, k, v = projected.view(shape).permute(2, 0, 3, 1, 4).unbind()
        # Written out: torch's fused attention has no rule for vmap, and would run lane by lane.
        scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[3])
        if causal:
            later = torch.ones(length, length, dtype=torch.bool, device=h.device).triu(1)
            scores = scores.masked_fill(later, -math.inf)
        mixed: torch.Tensor = scores.softmax(3) @ v
        return mixed.transpose(1, 2).flatten(2)
