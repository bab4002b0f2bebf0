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


def inverted_dropout(
    h: torch.Tensor, keep: torch.Tensor, rate: torch.Tensor | float
) -> torch.Tensor:
    """What is kept of `h`, divided by the share that is kept: h * keep / (1 - rate).

    The mean over masks is `h`, so that nothing is scaled at evaluation. The shape of the mask makes
    the method: that of activations, dropout; that of weights, DropConnect; [B, 1, width], one mask
    for all steps of a sequence; [B, 1, 1, 1], whole branches beside a bypass, stochastic depth.

    Args:
        h: activations or weights.
        keep: true with probability 1 - rate, bool, broadcasts with `h`.
        rate: the share that is dropped, in [0, 1); what a textbook calls p may be 1 - rate.

    Reference: Srivastava et al. 2014, JMLR 15.
    """
    return h * (keep / (1.0 - rate))


def dropout(
    h: torch.Tensor,
    rate: torch.Tensor | float,
    noise: Noise,
    site: str,
    shape: torch.Size | None = None,
) -> torch.Tensor:
    """`inverted_dropout` with a mask from `noise`.

    Args:
        shape: of the mask; default: that of `h`.
    """
    rate = torch.as_tensor(rate, dtype=h.dtype, device=h.device)
    return inverted_dropout(h, noise.keep(rate, site, shape or h.shape), rate)


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
