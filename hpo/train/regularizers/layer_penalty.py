"""What penalties have in common that are sums over layers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from hpo.errors import InputError
from hpo.lazy import lazy
from hpo.train.layout import Layers, Layout, Named
from hpo.train.regularizers.base import Context, Regularizer
from hpo.train.settings import PerLane

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


class LayerPart(Regularizer):
    """A method for the rows of layers' weights, each being all that leads into one unit or filter.

    Gates of a cell and groups of a convolution are layers of their own. A layer of one row has
    nothing to compare it with: it is left alone, each filter of a depthwise convolution among them.

    Attributes:
        directions: whether rows of any length are alike to the method, so that it acts on weights
            that are normalised, too.
    """

    directions: ClassVar[bool] = True

    layers: Layers = Field(
        "all", description="whose weights: all, hidden (no head), conv, linear, or names of layers"
    )

    def check(self, name: str, inputs: tuple[int, ...], layout: Layout) -> None:
        try:
            names = self.names(layout)
        except InputError as error:
            raise InputError(f"{name}.layers: {error.message}", error.hint) from None
        if not names:
            raise InputError(
                f"{name} compares units of a layer, and no layer of {self.layers} has two",
                "leave it out, or name other layers",
            )

    def names(self, layout: Layout) -> list[str]:
        """Of the weights it acts on.

        Raises:
            InputError: see `Layout.select`.
        """
        names = layout.select(self.layers, self.directions)
        return [name for name in names if layout.rows_of(name) > 1]

    def matrices(self, params: Named, layout: Layout) -> Iterator[torch.Tensor]:
        """The weights it acts on, [n, d] each, n at least 2."""
        for name in self.names(layout):
            yield from layout.matrices(name, params[name]).unbind()


class LayerPenalty(LayerPart):
    """Adds strength * the sum over layers of what their weights cost to the loss."""

    strength: Annotated[float, PerLane(neutral=0.0)] = Field(
        ge=0, le=1000, description="weight of the sum over layers; 0: none"
    )

    @abstractmethod
    def cost(self, weight: torch.Tensor) -> torch.Tensor:
        """What a layer costs, [].

        Args:
            weight: [n, d], n at least 2.
        """

    def penalty(self, params: Named, context: Context) -> torch.Tensor:
        costs = [self.cost(weight) for weight in self.matrices(params, context.layout)]
        return self.strength * torch.stack(costs).sum()
