from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.regularizers.base import Context, PartState, Regularizer
from hpo.train.settings import PerLane

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


def max_norm_project(weight: torch.Tensor, radius: torch.Tensor | float) -> torch.Tensor:
    """Scales rows down to `radius` where they are longer: w_i * min(1, radius / |w_i|).

    Args:
        weight: [O, ...]; a row is all that leads into one unit or filter.
        radius: > 0; infinity leaves everything as it is.
    """
    rows = weight.reshape(weight.shape[0], -1)
    norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return (rows * torch.clamp(radius / norms, max=1.0)).view(weight.shape)


class MaxNorm(Regularizer):
    """Keeps the incoming weights of each unit within a ball, by projection after the step."""

    reference: ClassVar[str] = "Srebro & Shraibman 2005; Srivastava et al. 2014, section 5.1"

    radius: Annotated[float, PerLane(neutral=math.inf)] = Field(
        gt=0, allow_inf_nan=True, description="largest norm of a unit's incoming weights; inf: none"
    )

    def after_step(
        self, params: torch.Tensor, state: PartState, context: Context
    ) -> tuple[torch.Tensor, PartState]:
        named = context.layout.split(params)
        for name, value in named.items():
            if context.layout.is_penalised(name):
                named[name] = max_norm_project(value, self.radius)
        return context.layout.join(named), state
