"""All parameters of a model as one vector, with names for its pieces."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

from hpo.errors import InputError
from hpo.lazy import lazy

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

Named = Mapping[str, "torch.Tensor"]

# Which weights a method touches: all; those outside the head; kernels; matrices; or layers by name.
Layers = Literal["all", "hidden", "conv", "linear"] | tuple[str, ...]


class Feed(NamedTuple):
    """Where the units of a hidden layer are seen, if that is one layer alone.

    Args:
        place: what names of the parameters and statistics of their normalization begin with.
        to: the layer that sees them.
    """

    place: str
    to: str


class Layout:
    """Where each named parameter lies in the vector.

    Everything elementwise (optimizers, decay, soft thresholds) runs on the vector: one operation
    in place of one per parameter, which is what a small model's step is made of.

    Args:
        shapes: of the parameters, by name, in the order of the forward pass.
        exempt: names of weights that penalties leave alone.
        blocks: how many matrices a weight has one above the other, by name, where it is not one:
            gates of a cell, groups of a convolution.
        head: see `Layout.head`; by default the last layer.
        branches: names of the places where something is added to a bypass, in the order of the
            forward pass.
        feeds: hidden layers whose units one other layer alone sees, by name.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        exempt: Collection[str] = (),
        blocks: Mapping[str, int] | None = None,
        head: str | None = None,
        branches: tuple[str, ...] = (),
        feeds: Mapping[str, Feed] | None = None,
    ) -> None:
        self.branches = branches
        self.shapes = dict(shapes)
        self.feeds = dict(feeds or {})
        self._exempt = frozenset(exempt)
        self._blocks = dict(blocks or {})
        self._head = head
        self._sizes = [math.prod(shape) for shape in self.shapes.values()]
        self.size = sum(self._sizes)

    @property
    def last_layer(self) -> str:
        """Its name."""
        return list(self.shapes)[-1].rpartition(".")[0]

    @property
    def head(self) -> str:
        """What names of the parameters begin with that are of no use for other targets."""
        return self._head or self.last_layer

    @property
    def outputs(self) -> int:
        """How many numbers the last layer gives: in a classification one for each class."""
        return list(self.shapes.values())[-1][0]

    def split(self, vector: torch.Tensor) -> dict[str, torch.Tensor]:
        """Views of the vector [P], by name."""
        pieces = vector.split_with_sizes(self._sizes)
        return {
            name: piece.view(shape)
            for (name, shape), piece in zip(self.shapes.items(), pieces, strict=True)
        }

    def join(self, named: Named) -> torch.Tensor:
        """The vector [P] of named parameters, in this layout's order."""
        return torch.cat([named[name].reshape(-1) for name in self.shapes])

    def is_weight(self, name: str) -> bool:
        """Whether a parameter is a weight, and not a bias, a gain or another vector."""
        return len(self.shapes[name]) >= 2

    def is_penalised(self, name: str) -> bool:
        """Whether penalties act on a parameter: weights, but not embeddings and the like, nor those
        whose length means nothing (`WeightNorm`)."""
        exempt = name in self._exempt or name.endswith(".direction")
        return self.is_weight(name) and not exempt

    def in_head(self, name: str) -> bool:
        """Whether a parameter is one of the output layer's."""
        return name.startswith(f"{self.head}.")

    def select(self, layers: Layers, directions: bool = False) -> list[str]:
        """Names of the weights that are meant, of those that methods may touch.

        Args:
            layers: a layer is named as its parameters are, without the part behind the last dot, or
                with it to mean one of several weights.
            directions: whether only the directions of rows matter to the method, so that weights
                whose length means nothing (`WeightNorm`) are meant as well.

        Raises:
            InputError: there is no such layer.
        """
        touched = [
            name
            for name in self.shapes
            if self.is_penalised(name) or (directions and name.endswith(".direction"))
        ]
        found: dict[str, list[str]]
        if isinstance(layers, str):
            found = {layers: [name for name in touched if self._is_of_kind(name, layers)]}
        else:
            found = {
                layer: [name for name in touched if f"{name}.".startswith(f"{layer}.")]
                for layer in layers
            }
        if missing := [layer for layer, names in found.items() if not names]:
            raise InputError(
                f"the model has no weights {', '.join(missing)}",
                f"those that can be named are {', '.join(touched) or 'none'}; a name without its "
                "last part means all weights of a layer",
            )
        meant = {name for names in found.values() for name in names}
        return [name for name in touched if name in meant]

    def _is_of_kind(self, name: str, kind: str) -> bool:
        if kind == "hidden":
            return not self.in_head(name)
        if kind == "conv":
            return len(self.shapes[name]) > 2
        return kind == "all" or len(self.shapes[name]) == 2

    def matrices(self, name: str, weight: torch.Tensor) -> torch.Tensor:
        """A weight [O, ...] as matrices [S, n, d] with a row for each unit or filter.

        There is one, or as many as the weight has one above the other: gates of a cell, each with
        rows of its own; groups of a convolution, whose filters see the same channels only within
        their group.
        """
        return weight.reshape(self._blocks.get(name, 1), -1, weight[0].numel())

    def rows_of(self, name: str) -> int:
        """How many rows each matrix of a weight has."""
        return self.shapes[name][0] // self._blocks.get(name, 1)

    def weight_mask(self, like: torch.Tensor) -> torch.Tensor:
        """1 where penalties act and 0 elsewhere, [P]."""
        return torch.cat(
            [
                torch.full((size,), float(self.is_penalised(name)), dtype=like.dtype)
                for name, size in zip(self.shapes, self._sizes, strict=True)
            ]
        ).to(like.device)
