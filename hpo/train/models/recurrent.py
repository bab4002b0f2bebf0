"""Recurrent networks, step by step: the fused kernels of torch cannot be mapped over lanes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.layout import Named
from hpo.train.models.base import OnHidden
from hpo.train.models.sequences import (
    EMBEDDING,
    SequenceModel,
    by_step,
    embed,
    length_and_channels,
)
from hpo.train.normalizations import ModelState
from hpo.train.settings import PerLane
from hpo.train.task import Window

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
else:
    torch = lazy("torch")
    F = lazy("torch.nn.functional")


OnState = Callable[["torch.Tensor"], "torch.Tensor"]


class Recurrent(SequenceModel):
    """Layers of one cell, each run over all steps; then a dense layer on every state of a text, on
    the last one of a series. Characters enter through an embedding as wide as the layers.

    Parameters of the layers have the names, shapes and order of gates that torch's module has.
    """

    gates: ClassVar[int]

    width: int = Field(128, ge=1, le=16384, description="units of each layer")
    layers: int = Field(1, ge=1, le=16, description="how many, each reading the one before")

    @abstractmethod
    def cell(
        self, gates: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, on_state: OnState
    ) -> torch.Tensor:
        """The states of all steps, [B, L, width], from zeros on.

        Args:
            gates: what the inputs and their bias add to the gates, [B, L, gates * width].
            weight: from a state to the gates of the next step, [gates * width, width].
            bias: [gates * width].
            on_state: from a state to what the gates of the next step see of it, [B, width].
        """

    def shapes(self, inputs: tuple[int, ...], outputs: int) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {}
        if isinstance(inputs, Window):
            size = self.width
            shapes[EMBEDDING] = (inputs.characters, size)
        else:
            _, size = length_and_channels(inputs)
        rows = self.gates * self.width
        for layer in range(self.layers):
            shapes[f"rnn.weight_ih_l{layer}"] = (rows, size)
            shapes[f"rnn.weight_hh_l{layer}"] = (rows, self.width)
            shapes[f"rnn.bias_ih_l{layer}"] = (rows,)
            shapes[f"rnn.bias_hh_l{layer}"] = (rows,)
            size = self.width
        shapes["head.weight"] = (outputs, self.width)
        shapes["head.bias"] = (outputs,)
        return shapes

    def stacked(self, name: str) -> int:
        return self.gates if name.startswith("rnn.weight") else 1

    def apply(
        self, params: Named, state: Named, x: torch.Tensor, on_hidden: OnHidden, training: bool
    ) -> tuple[torch.Tensor, ModelState]:
        characters = EMBEDDING in params
        h = embed(params, x, on_hidden) if characters else by_step(x)
        for layer in range(self.layers):
            w_x, w_h, b_x, b_h = (
                params[f"rnn.{name}_l{layer}"]
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            site = f"rnn.l{layer}"
            on_state = partial(on_hidden, site=site, kind="state")
            h = on_hidden(self.cell(F.linear(h, w_x, b_x), w_h, b_h, on_state), site)
        h = h if characters else h[:, -1]
        return F.linear(h, params["head.weight"], params["head.bias"]), {}


class Lstm(Recurrent):
    """Long short-term memory: c <- f * c + i * g and h = o * tanh(c), with gates i, f, o of the
    logistic function and g of tanh."""

    reference: ClassVar[str] = (
        "Hochreiter & Schmidhuber 1997; forget gate and its bias: Gers et al. 2000, "
        "Jozefowicz et al. 2015"
    )
    gates: ClassVar[int] = 4

    kind: Literal["lstm"] = "lstm"
    forget_bias: Annotated[float, PerLane()] = Field(
        1.0, ge=-10, le=10, description="first bias of the forget gates; 1 to 2 lets memory last"
    )

    def initial(self, name: str, shape: tuple[int, ...]) -> torch.Tensor | None:
        # There are two biases whose sum counts; the other one starts at 0.
        if not name.startswith("rnn.bias_ih_l"):
            return None
        bias = torch.zeros(self.gates, self.width, dtype=torch.float64)
        bias[1] = self.forget_bias
        return bias.view(shape)

    def cell(
        self, gates: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, on_state: OnState
    ) -> torch.Tensor:
        h = c = gates.new_zeros(gates.shape[0], self.width)
        states = []
        for step in gates.unbind(1):
            i, f, g, o = (step + F.linear(on_state(h), weight, bias)).chunk(4, dim=1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            states.append(h)
        return torch.stack(states, dim=1)


class Gru(Recurrent):
    """Gated recurrent unit: h <- (1 - z) * n + z * h with n = tanh(W x + r * (U h + b)), and gates
    r, z of the logistic function."""

    reference: ClassVar[str] = "Cho et al. 2014, arXiv:1406.1078"
    gates: ClassVar[int] = 3

    kind: Literal["gru"] = "gru"

    def cell(
        self, gates: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, on_state: OnState
    ) -> torch.Tensor:
        h = gates.new_zeros(gates.shape[0], self.width)
        states = []
        for step in gates.unbind(1):
            r_x, z_x, n_x = step.chunk(3, dim=1)
            r_h, z_h, n_h = F.linear(on_state(h), weight, bias).chunk(3, dim=1)
            n = torch.tanh(n_x + torch.sigmoid(r_x + r_h) * n_h)
            h = torch.lerp(n, h, torch.sigmoid(z_x + z_h))
            states.append(h)
        return torch.stack(states, dim=1)
