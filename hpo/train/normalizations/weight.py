from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from hpo.lazy import lazy
from hpo.train.layout import Named
from hpo.train.normalizations.base import NormalizationPart, Shapes

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


def norms(v: torch.Tensor) -> torch.Tensor:
    """The norm of all that leads into each unit, [units], for v [units, ...]."""
    lengths: torch.Tensor = torch.linalg.vector_norm(v.flatten(1), dim=1)
    return lengths


class WeightNorm(NormalizationPart):
    """Trains the length of each unit's weights apart from their direction: w = g * v / |v|.

    g starts at |v|, so that the first w are those drawn. Penalties and bounds leave v alone: its
    length means nothing for w. Activations are not normalised.
    """

    reference: ClassVar[str] = "Salimans & Kingma 2016, arXiv:1602.07868"

    kind: Literal["weight"] = "weight"

    def layer(self, name: str, weight: tuple[int, ...]) -> Shapes:
        units = weight[:1]
        return {f"{name}.direction": weight, f"{name}.gain": units, f"{name}.bias": units}

    def init_params(self, params: Named) -> Named:
        drawn = {
            f"{path.removesuffix('.direction')}.gain": norms(v)
            for path, v in params.items()
            if path.endswith(".direction")
        }
        return {**params, **drawn}

    def weight(self, params: Named, name: str) -> torch.Tensor:
        v = params[f"{name}.direction"]
        scale = params[f"{name}.gain"] / norms(v)
        return v * scale.view(-1, *(1 for _ in v.shape[1:]))
