"""What a model is: parameter shapes, and a pure function of parameters, state and inputs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, Self

from pydantic import Field

from hpo.errors import InputError
from hpo.lazy import lazy
from hpo.train.layout import Feed, Layout, Named
from hpo.train.normalizations import BatchNorm, ModelState, NoNormalization, Normalization
from hpo.train.settings import Settings
from hpo.train.task import Target, Task

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
else:
    F = lazy("torch.nn.functional")

Kind = Literal["activation", "state", "branch"]


class OnHidden(Protocol):
    """From what a layer gives, [B, ...], to what the next one sees.

    Of the kind `state` is what a recurrent cell hands to its next step, the same site at each; of
    the kind `branch` what is added to a bypass.
    """

    def __call__(self, h: torch.Tensor, site: str, kind: Kind = ...) -> torch.Tensor: ...


def as_it_is(h: torch.Tensor, site: str, kind: Kind = "activation") -> torch.Tensor:
    """What evaluation does with what a layer gives."""
    return h


# By name in torch.nn.functional.
Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid"]


def activation(name: Activation) -> Callable[[torch.Tensor], torch.Tensor]:
    function: Callable[[torch.Tensor], torch.Tensor] = getattr(F, name)
    return function


class ModelPart(Settings):
    """The architecture. A layer's parameters are `<layer>.weight` and `<layer>.bias`, or those of
    its normalization.

    Attributes:
        tasks: what it can learn.
        exempt: names of weights that penalties leave alone; vectors are always left alone.
        head: what names of the parameters begin with that are of no use for other targets; `None`:
            those of the last layer.
        trusted: whether it is known to come to the same for many trials at once.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset(
        {"classification", "regression", "reconstruction", "multitask"}
    )
    head: ClassVar[str | None] = None
    exempt: ClassVar[frozenset[str]] = frozenset()
    trusted: ClassVar[bool] = True

    def bound(
        self, folder: Path, inputs: tuple[int, ...], outputs: int, targets: tuple[Target, ...]
    ) -> Self:
        """The model for these examples; what is not known from the settings is found out here.

        Args:
            folder: where code of the user is looked up first.
            targets: that share the outputs, where they may be of different kinds.

        Raises:
            InputError: it cannot be built.
        """
        return self

    @abstractmethod
    def shapes(self, inputs: tuple[int, ...], outputs: int) -> dict[str, tuple[int, ...]]:
        """Shapes of all parameters by name, in the order of the forward pass.

        Args:
            inputs: the shape of one example, without the batch; of a text a `Window`.
            outputs: how many numbers the model returns for it, or for each character of it.

        Raises:
            InputError: examples of this shape do not fit the model.
        """

    def layout(self, inputs: tuple[int, ...], outputs: int) -> Layout:
        """Its parameters as one vector; see `shapes`."""
        shapes = self.shapes(inputs, outputs)
        blocks = {name: self.stacked(name) for name in shapes}
        return Layout(
            shapes, self.exempt, blocks, self.head, branches=self.branches(), feeds=self.feeds()
        )

    def initial(self, name: str, shape: tuple[int, ...]) -> torch.Tensor | None:
        """The first values of a parameter where the model knows them, float64 on the CPU.

        `None` leaves a weight to the initializer, and a vector at 0.
        """
        return None

    def stacked(self, name: str) -> int:
        """How many weights a parameter has one above the other, each a matrix of its own: gates of
        a cell, groups of a convolution."""
        return 1

    def branches(self) -> tuple[str, ...]:
        """The sites at which something is added to a bypass, in the order of the forward pass."""
        return ()

    def feeds(self) -> dict[str, Feed]:
        """Hidden layers whose units one other layer alone sees, so that one can be taken out."""
        return {}

    def init_params(self, params: Named) -> Named:
        """The first parameters, given what was drawn or `initial` knows, and zeros for the rest."""
        return params

    def init_state(self, params: Named) -> ModelState:
        """What the model keeps from step to step and is not trained, before the first step."""
        return {}

    def mixes_rows(self) -> bool:
        """Whether what training makes of a row depends on the other rows of its batch."""
        return False

    def statistics(self, params: Named, state: Named, x: torch.Tensor) -> ModelState:
        """Of the state what follows from parameters and a batch alone: its running statistics, as
        this batch by itself would have them.

        Args:
            state: as `init_state` or a training step returned it.
            x: inputs, [B, ...].
        """
        return {}

    def positions(self, inputs: tuple[int, ...]) -> int:
        """How many positions of an example it has activations of, each like those of one row."""
        return 1

    @abstractmethod
    def apply(
        self, params: Named, state: Named, x: torch.Tensor, on_hidden: OnHidden, training: bool
    ) -> tuple[torch.Tensor, ModelState]:
        """The outputs [B, outputs] for inputs [B, ...], and the state after them.

        Of a text, int64 [B, L], there are outputs at each position, [B, L, outputs]. Evaluation
        leaves the state as it is.

        Args:
            state: as `init_state` or the training step before returned it.
        """


class NormalizedModel(ModelPart):
    """A model whose hidden layers may be normalised."""

    normalization: Normalization = Field(
        default_factory=NoNormalization, description="of activations or weights, in hidden layers"
    )

    def init_params(self, params: Named) -> Named:
        return self.normalization.init_params(params)

    def init_state(self, params: Named) -> ModelState:
        return self.normalization.init_state(params)

    def mixes_rows(self) -> bool:
        return isinstance(self.normalization, BatchNorm)

    def statistics(self, params: Named, state: Named, x: torch.Tensor) -> ModelState:
        if not isinstance(self.normalization, BatchNorm):
            return {}
        forgetful = self.normalization.model_copy(update={"momentum": 1.0})
        model = self.model_copy(update={"normalization": forgetful})
        return model.apply(params, state, x, as_it_is, training=True)[1]


def image_shape(kind: str, inputs: tuple[int, ...], halvings: int) -> tuple[int, int, int]:
    """Channels, height and width of images that a model halves so many times.

    Raises:
        InputError: examples of this shape are no images, or too small ones.
    """
    if len(inputs) != 3:
        raise InputError(
            f"model {kind} needs images (channels, height, width), got examples of shape {inputs}",
            "use model kind mlp, or give x as images: [N, height, width] or "
            "[N, channels, height, width]",
        )
    planes, height, width = inputs
    allowed = min(height, width).bit_length() - 1
    if halvings > allowed:
        raise InputError(
            f"model {kind} halves images {halvings} times, images of {height}x{width} pixels allow "
            f"{allowed}",
            f"leave out {halvings - allowed} of model.channels",
        )
    return planes, height, width
