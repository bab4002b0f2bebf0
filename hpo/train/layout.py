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
        shapes: of the parameters, by name, in order.
        exempt: names of matrices that penalties leave alone.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], exempt: Collection[str] = ()) -> None:
        self.shapes = dict(shapes)
        self._exempt = frozenset(exempt)
        self._sizes = [math.prod(shape) for shape in self.shapes.values()]
        self.size = sum(self._sizes)

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
        """Whether penalties touch a parameter: biases, gains and other vectors are exempt, and so
        are embeddings and the like."""
        return len(self.shapes[name]) >= 2 and name not in self._exempt

    def weight_mask(self, like: torch.Tensor) -> torch.Tensor:
        """1 at weights and 0 elsewhere, [P]."""
        return torch.cat(
            [
                torch.full((size,), float(self.is_weight(name)), dtype=like.dtype)
                for name, size in zip(self.shapes, self._sizes, strict=True)
            ]
        ).to(like.device)
