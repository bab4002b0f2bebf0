from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.noise import Noise
from hpo.train.regularizers.base import Context, Regularizer
from hpo.train.settings import PerLane

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


def dropout(h: torch.Tensor, rate: torch.Tensor | float, noise: Noise, site: str) -> torch.Tensor:
    """Sets a share `rate` in [0, 1) of `h` to zero and divides the rest by 1 - rate."""
    rate = torch.as_tensor(rate, dtype=h.dtype, device=h.device)
    return h * (noise.keep(rate, site, h.shape) / (1.0 - rate))


class Dropout(Regularizer):
    """Inverted dropout, after the activation; nothing to do at evaluation."""

    reference: ClassVar[str] = "Srivastava et al. 2014, JMLR 15"

    input: Annotated[float, PerLane(neutral=0.0)] = Field(
        0.0, ge=0, le=0.9, description="share of the inputs that is dropped"
    )
    hidden: Annotated[float, PerLane(neutral=0.0)] = Field(
        0.0, ge=0, le=0.9, description="share of each hidden layer's activations that is dropped"
    )

    def on_batch(
        self, x: torch.Tensor, y: torch.Tensor, context: Context
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if self.in_play("input"):
            x = dropout(x, self.input, context.noise, "dropout.input")
        return x, y

    def on_hidden(self, h: torch.Tensor, site: str, context: Context) -> torch.Tensor:
        if self.in_play("hidden"):
            h = dropout(h, self.hidden, context.noise, f"dropout.{site}")
        return h
