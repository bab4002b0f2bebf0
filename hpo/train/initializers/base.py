"""What an initializer is: the first values of all parameters."""

from __future__ import annotations

import math
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from hpo.lazy import lazy
from hpo.train.layout import Layout
from hpo.train.settings import Settings

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


class InitializerPart(Settings):
    """Says what the parameters are before the first step."""

    @abstractmethod
    def initial(
        self, layout: Layout, generator: torch.Generator, folder: Path
    ) -> dict[str, torch.Tensor]:
        """All parameters by name, float64 on the CPU: every device and precision starts alike.

        Args:
            generator: what is random is drawn from it, in the order of the layout.
            folder: where relative paths count from.

        Raises:
            InputError: see `check`.
        """

    def check(self, layout: Layout, folder: Path) -> None:
        """Whether `initial` will do, found out without drawing anything.

        Raises:
            InputError: it will not: a file has other shapes, for example.
        """


class Distribution(InitializerPart):
    """Draws each weight from a distribution; biases start at 0."""

    @abstractmethod
    def sample(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        """A weight, float64 on the CPU.

        Args:
            shape: (outputs, inputs) of a dense layer, (O, I, kh, kw) of a convolution.
        """

    def initial(
        self, layout: Layout, generator: torch.Generator, folder: Path
    ) -> dict[str, torch.Tensor]:
        return {
            name: self.sample(shape, generator)
            if layout.is_weight(name)
            else torch.zeros(shape, dtype=torch.float64)
            for name, shape in layout.shapes.items()
        }


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """How many inputs feed one output of a weight, and how many outputs one input feeds."""
    receptive = math.prod(shape[2:])
    return shape[1] * receptive, shape[0] * receptive
