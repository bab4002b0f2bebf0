from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.layout import Named
from hpo.train.models.base import ModelPart, OnHidden
from hpo.train.normalizations import ModelState
from hpo.train.settings import PerLane
from hpo.train.task import Task

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
else:
    torch = lazy("torch")
    F = lazy("torch.nn.functional")


class Diagonal(ModelPart):
    """A linear model whose weights are w = u**depth - v**depth, element by element.

    Gradient descent from a small alpha finds sparse solutions first, so that early stopping acts as
    a penalty on the number of weights; a large alpha gives what ridge regression gives. Escaping
    from alpha takes long where it is small and the depth above 2. Steps of at most about
    0.2 / depth**2 are stable; momentum and decay change what is found.
    """

    reference: ClassVar[str] = (
        "Vaskevicius et al. 2019, arXiv:1909.05122; Li et al. 2021, arXiv:2108.05574"
    )
    tasks: ClassVar[frozenset[Task]] = frozenset({"regression"})

    kind: Literal["diagonal"] = "diagonal"
    depth: int = Field(2, ge=2, le=10, description="power of u and v")
    alpha: Annotated[float, PerLane()] = Field(
        0.01, gt=0, le=1000, description="first value of all of u and v"
    )

    def shapes(self, inputs: tuple[int, ...], outputs: int) -> dict[str, tuple[int, ...]]:
        shape = (outputs, math.prod(inputs))
        return {"u": shape, "v": shape}

    def initial(self, name: str, shape: tuple[int, ...]) -> torch.Tensor | None:
        return torch.full(shape, self.alpha, dtype=torch.float64)

    def apply(
        self, params: Named, state: Named, x: torch.Tensor, on_hidden: OnHidden, training: bool
    ) -> tuple[torch.Tensor, ModelState]:
        w = params["u"].pow(self.depth) - params["v"].pow(self.depth)
        return F.linear(x.flatten(1), w), {}
