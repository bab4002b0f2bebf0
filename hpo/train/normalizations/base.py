"""Where normalization may come in between the layers of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpo.lazy import lazy
from hpo.train.layout import Named
from hpo.train.settings import Settings

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

ModelState = dict[str, "torch.Tensor"]  # what a model keeps from step to step, by name
Shapes = dict[str, tuple[int, ...]]


class NormalizationPart(Settings):
    """What is done about the scale of activations; by default, nothing.

    A model calls `weight` where it uses a hidden layer's weights (output layers and 1x1 projections
    have plain ones), and `before` and `after` around each activation function. Like all that runs
    inside a step, the three are pure, written for one trial, and branch on no tensor.
    """

    def layer(self, name: str, weight: tuple[int, ...]) -> Shapes:
        """Parameters of a dense layer or convolution.

        Args:
            weight: its weight's shape, (units, inputs, ...).
        """
        return {f"{name}.weight": weight, f"{name}.bias": weight[:1]}

    def place(self, name: str, units: int) -> Shapes:
        """Parameters of its own at an activation function of so many units or channels."""
        return {}

    def init_params(self, params: Named) -> Named:
        """The first parameters, given drawn weights and zeros for all else."""
        return params

    def init_state(self, params: Named) -> ModelState:
        """What is kept beside the parameters, before the first step."""
        return {}

    def weight(self, params: Named, name: str) -> torch.Tensor:
        """The weight of a layer."""
        return params[f"{name}.weight"]

    def before(
        self, z: torch.Tensor, name: str, params: Named, state: Named, training: bool
    ) -> tuple[torch.Tensor, ModelState]:
        """What the activation function sees in place of z [B, units, ...], and this place's state
        after it."""
        return z, {}

    def after(self, h: torch.Tensor) -> torch.Tensor:
        """What follows in place of h [B, units, ...], the activation function's values."""
        return h


class Affine(NormalizationPart):
    """Normalises before the activation function: gain * normalised + shift, for each unit.

    Gains start at 1 and shifts at 0. The layers have no bias: the shift is theirs.
    """

    def layer(self, name: str, weight: tuple[int, ...]) -> Shapes:
        return {f"{name}.weight": weight}

    def place(self, name: str, units: int) -> Shapes:
        return {f"{name}.gain": (units,), f"{name}.shift": (units,)}

    def init_params(self, params: Named) -> Named:
        return {
            name: torch.ones_like(value) if name.endswith(".gain") else value
            for name, value in params.items()
        }
