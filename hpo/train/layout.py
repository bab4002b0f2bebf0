"""All parameters of a model as one vector, with names for its pieces."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from hpo.lazy import lazy

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

Named = Mapping[str, "torch.Tensor"]


class Layout:
    """Where each named parameter lies in the vector.

    Everything elementwise (optimizers, decay, soft thresholds) runs on the vector: one operation
    in place of one per parameter, which is what a small model's step is made of.

    Args:
        shapes: of the parameters, by name, in the order of the forward pass.
        exempt: names of weights that penalties leave alone.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], exempt: Collection[str] = ()) -> None:
        self.shapes = dict(shapes)
        self._exempt = frozenset(exempt)
        self._sizes = [math.prod(shape) for shape in self.shapes.values()]
        self.size = sum(self._sizes)

    @property
    def last_layer(self) -> str:
        """Its name."""
        return list(self.shapes)[-1].rpartition(".")[0]

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

    def weight_mask(self, like: torch.Tensor) -> torch.Tensor:
        """1 where penalties act and 0 elsewhere, [P]."""
        return torch.cat(
            [
                torch.full((size,), float(self.is_penalised(name)), dtype=like.dtype)
                for name, size in zip(self.shapes, self._sizes, strict=True)
            ]
        ).to(like.device)
