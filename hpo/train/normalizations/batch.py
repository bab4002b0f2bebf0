from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.layout import Named
from hpo.train.normalizations.base import Affine, ModelState

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
else:
    torch = lazy("torch")
    F = lazy("torch.nn.functional")


class BatchNorm(Affine):
    """Normalises each unit over the batch, each channel of images over their pixels, too.

    gain * (z - mean) / sqrt(var + eps) + shift. Training takes the mean and the biased variance of
    the batch, evaluation running ones: running <- (1 - momentum) * running + momentum * batch, from
    0 and 1, with the unbiased variance of the batch. A batch with a single value of a unit has no
    such variance and leaves them alone.
    """

    reference: ClassVar[str] = "Ioffe & Szegedy 2015, arXiv:1502.03167"

    kind: Literal["batch"] = "batch"
    momentum: float = Field(0.1, gt=0, le=1, description="share of a batch in running statistics")
    eps: float = Field(1e-5, gt=0, le=1, description="added to the variance")

    def init_state(self, params: Named) -> ModelState:
        state = {}
        for path, gain in params.items():
            if path.endswith(".gain"):
                name = path.removesuffix(".gain")
                state[f"{name}.mean"] = torch.zeros_like(gain)
                state[f"{name}.var"] = torch.ones_like(gain)
        return state

    def before(
        self, z: torch.Tensor, name: str, params: Named, state: Named, training: bool
    ) -> tuple[torch.Tensor, ModelState]:
        gain, shift = params[f"{name}.gain"], params[f"{name}.shift"]
        # torch writes the running statistics in place, and a step into nothing it was given.
        mean, var = state[f"{name}.mean"].clone(), state[f"{name}.var"].clone()
        if training and z.numel() == len(shift):
            h = shift.view(z.shape)  # a single value is its own mean
        else:
            h = F.batch_norm(z, mean, var, gain, shift, training, self.momentum, self.eps)
        return h, {f"{name}.mean": mean, f"{name}.var": var}
