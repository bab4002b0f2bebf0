from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.regularizers.base import Context, Regularizer
from hpo.train.settings import PerLane

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


def clip_by_value(grads: torch.Tensor, bound: torch.Tensor | float) -> torch.Tensor:
    """Each element into [-bound, bound]; this changes the direction."""
    bound = torch.as_tensor(bound, dtype=grads.dtype)
    return torch.clamp(grads, -bound, bound)


def clip_by_norm(grads: torch.Tensor, bound: torch.Tensor | float) -> torch.Tensor:
    """grads * min(1, bound / (|grads| + 1e-6)), the norm being that of all parameters together.

    The 1e-6 is that of `torch.nn.utils.clip_grad_norm_`. A norm that is not finite gives zeros: one
    broken batch is skipped and leaves the parameters whole.
    """
    norm = torch.linalg.vector_norm(grads)
    clipped = grads * torch.clamp(bound / (norm + 1e-6), max=1.0)
    return torch.where(torch.isfinite(norm), clipped, torch.zeros_like(grads))


class Clipping(Regularizer):
    """Bounds the gradient, penalties included, before the optimizer sees it; value, then norm."""

    reference: ClassVar[str] = "Pascanu et al. 2013, arXiv:1211.5063"

    norm: Annotated[float, PerLane(neutral=math.inf)] = Field(
        math.inf, gt=0, allow_inf_nan=True, description="largest global norm; inf: no bound"
    )
    value: Annotated[float, PerLane(neutral=math.inf)] = Field(
        math.inf, gt=0, allow_inf_nan=True, description="largest absolute element; inf: no bound"
    )

    def on_grads(self, grads: torch.Tensor, params: torch.Tensor, context: Context) -> torch.Tensor:
        if self.in_play("value"):
            grads = clip_by_value(grads, self.value)
        if self.in_play("norm"):
            grads = clip_by_norm(grads, self.norm)
        return grads
