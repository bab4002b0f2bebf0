"""What an initializer is: the first values of all parameters."""

from __future__ import annotations

import math
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import field_validator

from hpo.lazy import lazy
from hpo.train.layout import Layout
from hpo.train.settings import Settings

if TYPE_CHECKING:
    import torch

    from hpo.train.models import ModelPart
else:
    torch = lazy("torch")


ALL_ZERO = "weights that are all 0 let no gradient through a hidden layer"


class InitializerPart(Settings):
    """Says what the parameters are before the first step."""

    @abstractmethod
    def initial(
        self, model: ModelPart, layout: Layout, generator: torch.Generator, folder: Path
    ) -> dict[str, torch.Tensor]:
        """All parameters by name, float64 on the CPU: every device and precision starts alike.

        Args:
            model: what has these parameters.
            generator: what is random is drawn from it, in the order of the layout.
            folder: where relative paths count from.

        Raises:
            InputError: see `check`.
        """

    def check(self, model: ModelPart, layout: Layout, folder: Path) -> None:
        """Whether `initial` will do, found out without drawing anything.

        Raises:
            InputError: it will not: a file has other shapes, for example.
        """


class Distribution(InitializerPart):
    """Draws each weight from a distribution, but for what a model knows better; biases start at 0.

    A setting that would make all weights 0 is refused.
    """

    @field_validator("value", "std", "bound", "gain", mode="before", check_fields=False)
    @classmethod
    def _not_zero(cls, value: object) -> object:
        if value == 0:
            raise ValueError(f"{ALL_ZERO}; give another value")
        return value

    @abstractmethod
    def sample(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        """A weight, float64 on the CPU.

        Args:
            shape: (outputs, inputs) of a dense layer, (O, I, kh, kw) of a convolution.
        """

    def initial(
        self, model: ModelPart, layout: Layout, generator: torch.Generator, folder: Path
    ) -> dict[str, torch.Tensor]:
        drawn = {}
        for name, shape in layout.shapes.items():
            known = model.initial(name, shape)
            if known is not None:
                drawn[name] = known
            elif layout.is_weight(name):
                count = model.stacked(name)
                one = (shape[0] // count, *shape[1:])
                drawn[name] = torch.cat([self.sample(one, generator) for _ in range(count)])
            else:
                drawn[name] = torch.zeros(shape, dtype=torch.float64)
        return dict(model.init_params(drawn))


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """How many inputs feed one output of a weight, and how many outputs one input feeds."""
    receptive = math.prod(shape[2:])
    return shape[1] * receptive, shape[0] * receptive
