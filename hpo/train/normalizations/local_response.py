from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.normalizations.base import NormalizationPart

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
else:
    F = lazy("torch.nn.functional")


class LocalResponseNorm(NormalizationPart):
    """Divides activations by those of neighbouring channels at the same pixel.

    h / (k + alpha * sum h'**2) ** beta, over a channel and `size` - 1 next to it. alpha is that of
    AlexNet; torch's is `size` times as large. It follows the activation function.
    """

    reference: ClassVar[str] = "Krizhevsky et al. 2012, section 3.3"

    kind: Literal["local_response"] = "local_response"
    size: int = Field(5, ge=1, le=4096, description="channels in the sum, half on each side")
    alpha: float = Field(1e-4, ge=0, le=100, description="weight of the sum of squares")
    beta: float = Field(0.75, ge=0, le=10, description="exponent")
    k: float = Field(2.0, gt=0, le=100, description="what is added to the sum")

    def after(self, h: torch.Tensor) -> torch.Tensor:
        return F.local_response_norm(h, self.size, self.alpha * self.size, self.beta, self.k)
