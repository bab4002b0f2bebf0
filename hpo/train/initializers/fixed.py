from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.initializers.base import InitializerPart
from hpo.train.settings import PerLane

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


class Normal(InitializerPart):
    """N(0, std**2) in every layer, whatever its size."""

    reference: ClassVar[str] = "Krizhevsky et al. 2012 (std 0.01)"

    kind: Literal["normal"] = "normal"
    std: Annotated[float, PerLane()] = Field(0.01, gt=0, le=10, description="standard deviation")

    def sample(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64) * self.std


class Uniform(InitializerPart):
    """U(-bound, bound) in every layer, whatever its size; the variance is bound**2 / 3."""

    reference: ClassVar[str] = "LeCun et al. 1998, Efficient backprop"

    kind: Literal["uniform"] = "uniform"
    bound: Annotated[float, PerLane()] = Field(0.05, gt=0, le=10, description="largest value")

    def sample(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        unit = torch.rand(shape, generator=generator, dtype=torch.float64)
        return (2 * unit - 1) * self.bound
