from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from hpo.errors import InputError
from hpo.lazy import lazy
from hpo.train.layout import Named
from hpo.train.normalizations.base import Affine, ModelState, Shapes

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
else:
    F = lazy("torch.nn.functional")


def layer_norm(
    z: torch.Tensor, gain: torch.Tensor, shift: torch.Tensor, eps: float
) -> torch.Tensor:
    """gain * (z - mean) / sqrt(var + eps) + shift, mean and biased variance being each example's.

    Args:
        z: [B, units, ...].
        gain, shift: [units].
    """
    return F.group_norm(z, 1, gain, shift, eps)


class LayerNorm(Affine):
    """Normalises each example over all units of a layer, of images over channels and pixels.

    Gain and shift are each unit's or channel's. Training and evaluation do the same.
    """

    reference: ClassVar[str] = "Ba et al. 2016, arXiv:1607.06450"

    kind: Literal["layer"] = "layer"
    eps: float = Field(1e-5, gt=0, le=1, description="added to the variance")

    def layer(self, name: str, weight: tuple[int, ...]) -> Shapes:
        if len(weight) == 2 and weight[0] == 1:
            raise InputError(
                "normalization layer needs more than one unit in a layer: of one alone nothing is "
                f"left, got one in {name}",
                "give model.widths of 2 or more, or use normalization batch",
            )
        return super().layer(name, weight)

    def before(
        self, z: torch.Tensor, name: str, params: Named, state: Named, training: bool
    ) -> tuple[torch.Tensor, ModelState]:
        return layer_norm(z, params[f"{name}.gain"], params[f"{name}.shift"], self.eps), {}
