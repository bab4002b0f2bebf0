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


class Normal(Distribution):
    """N(0, std**2) in every layer, whatever its size."""

    reference: ClassVar[str] = "Krizhevsky et al. 2012 (std 0.01)"

    kind: Literal["normal"] = "normal"
    std: Annotated[float, PerLane()] = Field(0.01, gt=0, le=10, description="standard deviation")

    def sample(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64) * self.std


class TruncatedNormal(Distribution):
    """N(0, std**2) in every layer, but for draws beyond two standard deviations: no outliers.

    What is left has a standard deviation of 0.88 std.
    """

    reference: ClassVar[str] = "Devlin et al. 2019, arXiv:1810.04805 (std 0.02)"

    kind: Literal["truncated_normal"] = "truncated_normal"
    std: Annotated[float, PerLane()] = Field(
        0.02, gt=0, le=10, description="standard deviation before the cut"
    )

    def sample(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        unit = torch.empty(shape, dtype=torch.float64)
        return torch.nn.init.trunc_normal_(unit, generator=generator) * self.std


class Constant(Distribution):
    """The same value everywhere, for linear models and as a control.

    Units of one layer start alike and stay alike: a network with hidden layers does not learn more
    than one unit per layer could.
    """

    reference: ClassVar[str] = "Goodfellow et al. 2016, section 8.4 (why symmetry must be broken)"

    kind: Literal["constant"] = "constant"
    value: Annotated[float, PerLane()] = Field(ge=-10, le=10, description="of every weight, not 0")

    def sample(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        return torch.full(shape, self.value, dtype=torch.float64)


class Uniform(Distribution):
    """U(-bound, bound) in every layer, whatever its size; the variance is bound**2 / 3."""

    reference: ClassVar[str] = "LeCun et al. 1998, Efficient backprop"

    kind: Literal["uniform"] = "uniform"
    bound: Annotated[float, PerLane()] = Field(0.05, gt=0, le=10, description="largest value")

    def sample(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        unit = torch.rand(shape, generator=generator, dtype=torch.float64)
        return (2 * unit - 1) * self.bound
