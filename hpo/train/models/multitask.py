from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr

from hpo.errors import InputError
from hpo.lazy import lazy
from hpo.train.layout import Named
from hpo.train.models.base import Activation, ModelPart, OnHidden, activation
from hpo.train.normalizations import ModelState
from hpo.train.task import Target, Task

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
else:
    torch = lazy("torch")
    F = lazy("torch.nn.functional")

Widths = tuple[Annotated[int, Field(ge=1, le=16384)], ...]


class Multitask(ModelPart):
    """Dense layers that all targets share, then dense layers of its own, a head, for each target.

    A head has an output for each class of its target, or one for a number. `loss.auxiliary` weighs
    the targets beside the first one, and `data.scored: first` leaves them out of what is reported:
    they are there to shape the shared layers.
    """

    reference: ClassVar[str] = "Caruana 1997, Multitask learning"
    tasks: ClassVar[frozenset[Task]] = frozenset({"regression", "multitask"})
    head: ClassVar[str | None] = "heads"

    kind: Literal["multitask"] = "multitask"
    widths: Widths = Field(
        (128,), min_length=1, max_length=64, description="units of each shared hidden layer"
    )
    head_widths: Widths = Field(
        (32,), max_length=64, description="units of each hidden layer of a head"
    )
    activation: Activation = Field("relu", description="after each hidden layer")
    _targets: tuple[Target, ...] = PrivateAttr(())

    def bound(
        self, folder: Path, inputs: tuple[int, ...], outputs: int, targets: tuple[Target, ...]
    ) -> Self:
        if outputs == 1:
            raise InputError(
                "model multitask has a head for each of several targets, the data have one",
                "use model kind mlp, or name more targets in data",
            )
        bound = self.model_copy()
        bound._targets = targets
        return bound

    def shapes(self, inputs: tuple[int, ...], outputs: int) -> dict[str, tuple[int, ...]]:
        heads = [target.outputs for target in self._targets] or [1] * outputs
        stacks = {"trunk": (math.prod(inputs), *self.widths)}
        for t, own in enumerate(heads):
            stacks[f"heads.{t}"] = (self.widths[-1], *self.head_widths, own)
        shapes: dict[str, tuple[int, ...]] = {}
        for name, sizes in stacks.items():
            for layer, (fan_in, fan_out) in enumerate(pairwise(sizes)):
                shapes[f"{name}.{layer}.weight"] = (fan_out, fan_in)
                shapes[f"{name}.{layer}.bias"] = (fan_out,)
        return shapes

    def apply(
        self, params: Named, state: Named, x: torch.Tensor, on_hidden: OnHidden, training: bool
    ) -> tuple[torch.Tensor, ModelState]:
        nonlinearity = activation(self.activation)

        def linear(h: torch.Tensor, name: str) -> torch.Tensor:
            return F.linear(h, params[f"{name}.weight"], params[f"{name}.bias"])

        def hidden(h: torch.Tensor, stack: str, layers: int) -> torch.Tensor:
            for layer in range(layers):
                name = f"{stack}.{layer}"
                h = on_hidden(nonlinearity(linear(h, name)), name)
            return h

        last = len(self.head_widths)
        h = hidden(x.flatten(1), "trunk", len(self.widths))
        outputs: list[torch.Tensor] = []
        while f"heads.{len(outputs)}.{last}.bias" in params:
            head = f"heads.{len(outputs)}"
            outputs.append(linear(hidden(h, head, last), f"{head}.{last}"))
        return torch.cat(outputs, dim=1), {}
