from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.initializers.base import Distribution, fans
from hpo.train.settings import PerLane

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


class VarianceScaling(Distribution):
    """Independent draws whose variance depends on the layer's size."""

    distribution: Literal["normal", "uniform"] = Field(
        "normal", description="shape of the distribution; both have the same variance"
    )
    gain: Annotated[float, PerLane()] = Field(
        1.0, gt=0, le=10, description="factor on the standard deviation"
    )

    @abstractmethod
    def variance(self, fan_in: int, fan_out: int) -> float:
        """The variance at gain 1."""

    def sample(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        std = self.gain * math.sqrt(self.variance(*fans(shape)))
        if self.distribution == "normal":
            return torch.randn(shape, generator=generator, dtype=torch.float64) * std
        unit = torch.rand(shape, generator=generator, dtype=torch.float64)
        return (2 * unit - 1) * (math.sqrt(3) * std)


class Kaiming(VarianceScaling):
    """He initialization: variance 2 / ((1 + slope**2) fan), which ReLU layers carry unchanged.

    With fan_in it is the variance of activations that stays, with fan_out that of gradients.
    """

    reference: ClassVar[str] = "He et al. 2015, arXiv:1502.01852"

    kind: Literal["kaiming"] = "kaiming"
    fan: Literal["in", "out"] = Field("in", description="what the variance is divided by")
    slope: Annotated[float, PerLane()] = Field(
        0.0, ge=0, le=1, description="of the activation below 0: 0 for relu, 0.01 for leaky_relu"
    )

    def variance(self, fan_in: int, fan_out: int) -> float:
        return 2 / ((1 + self.slope**2) * (fan_in if self.fan == "in" else fan_out))


class Xavier(VarianceScaling):
    """Glorot initialization: variance 2 / (fan_in + fan_out); gain 5/3 is usual with tanh."""

    reference: ClassVar[str] = "Glorot & Bengio 2010"

    kind: Literal["xavier"] = "xavier"

    def variance(self, fan_in: int, fan_out: int) -> float:
        return 2 / (fan_in + fan_out)
