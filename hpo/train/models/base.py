"""What a model is: parameter shapes, and a pure function of parameters and inputs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Literal

from hpo.lazy import lazy
from hpo.train.layout import Named
from hpo.train.settings import Settings
from hpo.train.task import Task

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
else:
    F = lazy("torch.nn.functional")

# From activations [B, ...] and their site's name to what the next layer sees.
OnHidden = Callable[["torch.Tensor", str], "torch.Tensor"]
# By name in torch.nn.functional.
Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid"]


def activation(name: Activation) -> Callable[[torch.Tensor], torch.Tensor]:
    function: Callable[[torch.Tensor], torch.Tensor] = getattr(F, name)
    return function


class ModelPart(Settings):
    """The architecture. A layer's parameters are `<layer>.weight` and `<layer>.bias`.

    Attributes:
        tasks: what it can learn.
        exempt: names of matrices that penalties leave alone; vectors are always left alone.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({"classification", "regression", "reconstruction"})
    exempt: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def shapes(self, inputs: tuple[int, ...], outputs: int) -> dict[str, tuple[int, ...]]:
        """Shapes of all parameters by name, in the order of the forward pass.

        Args:
            inputs: the shape of one example, without the batch; of a text a `Window`.
            outputs: how many numbers the model returns for it, or for each character of it.

        Raises:
            InputError: examples of this shape do not fit the model.
        """

    @abstractmethod
    def apply(self, params: Named, x: torch.Tensor, on_hidden: OnHidden) -> torch.Tensor:
        """The outputs [B, outputs] for inputs [B, ...]; of a text, int64 [B, L], there are outputs
        at each position: [B, L, outputs]."""

    def positions(self, inputs: tuple[int, ...]) -> int:
        """How many positions of an example it has activations of, each like those of one row."""
        return 1

    def stacked(self, name: str) -> int:
        """How many matrices a parameter has one above the other, each to be drawn on its own."""
        return 1

    def initial(self, name: str, shape: tuple[int, ...]) -> torch.Tensor | None:
        """The first values of a parameter where the model knows them, float64 on the CPU.

        `None` leaves a matrix to the initializer, and a vector at 0.
        """
        return None
