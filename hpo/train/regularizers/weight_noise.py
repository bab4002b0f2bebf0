from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from hpo.train.regularizers.base import Context
from hpo.train.regularizers.weights_part import WeightsPart
from hpo.train.settings import PerLane

if TYPE_CHECKING:
    import torch


class WeightNoise(WeightsPart):
    """Adds N(0, sd**2) to each weight in the forward pass, once a step; nothing at evaluation.

    For outputs y and squared loss this is a penalty of sd**2 |dy/dw|**2 in the mean, where noise is
    small: it drives towards weights that may change a little without changing the outputs.
    """

    reference: ClassVar[str] = "Jim et al. 1996; Graves 2011, Practical variational inference"

    sd: Annotated[float, PerLane(neutral=0.0)] = Field(
        ge=0, le=1, description="standard deviation of the noise, in units of the weights"
    )

    def replaced(self, weight: torch.Tensor, name: str, context: Context) -> torch.Tensor:
        site = f"regularization.weight_noise.{name}"
        return weight + context.noise.normal(site, weight.shape, weight.dtype) * self.sd
