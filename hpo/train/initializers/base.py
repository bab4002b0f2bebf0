"""What an initializer is: a distribution over one weight tensor."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING

from pydantic import field_validator

from hpo.train.settings import Settings

if TYPE_CHECKING:
    import torch


ALL_ZERO = "weights that are all 0 let no gradient through a hidden layer"


class InitializerPart(Settings):
    """Draws the first values of the weights; biases start at 0.

    A setting that would make all of them 0 is refused.
    """

    @field_validator("value", "std", "bound", "gain", mode="before", check_fields=False)
    @classmethod
    def _not_zero(cls, value: object) -> object:
        if value == 0:
            raise ValueError(f"{ALL_ZERO}; give another value")
        return value

    @abstractmethod
    def sample(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        """A weight, float64 on the CPU, so that every device and precision starts alike.

        Args:
            shape: (outputs, inputs) of a dense layer, (O, I, kh, kw) of a convolution.
        """


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """How many inputs feed one output of a weight, and how many outputs one input feeds."""
    receptive = math.prod(shape[2:])
    return shape[1] * receptive, shape[0] * receptive
