from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.initializers.base import Distribution
from hpo.train.settings import PerLane

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


class Sparse(Distribution):
    """Each unit starts with a few inputs, drawn from N(0, std**2); all other weights are 0.

    The spread of a unit's sum so depends on `connections`, not on the width of the layer before.
    """

    reference: ClassVar[str] = "Martens 2010, Deep learning via Hessian-free optimization"

    kind: Literal["sparse"] = "sparse"
    connections: int = Field(
        15, ge=1, le=2**20, description="weights of a unit that are not 0; all if it has fewer"
    )
    std: Annotated[float, PerLane()] = Field(
        0.3, gt=0, le=10, description="standard deviation of those weights"
    )

    def sample(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        draws = torch.randn(shape, generator=generator, dtype=torch.float64).flatten(1) * self.std
        order = torch.rand(draws.shape, generator=generator, dtype=torch.float64).argsort(dim=1)
        kept = torch.zeros_like(draws).scatter_(1, order[:, : self.connections], 1.0)
        return (draws * kept).reshape(shape)
