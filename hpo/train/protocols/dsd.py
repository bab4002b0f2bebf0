from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Self

from pydantic import Field, model_validator

from hpo.errors import InputError
from hpo.lazy import lazy
from hpo.train.layout import Layers, Layout
from hpo.train.protocols.masks import Masked, forget
from hpo.train.regularizers.base import Moment, State
from hpo.train.settings import PerLane

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


def dsd_mask(weight: torch.Tensor, sparsity: torch.Tensor | float) -> torch.Tensor:
    """Which elements of a weight stay when its smallest ones are pruned; bool, of its shape.

    |w| > the k-th smallest |w|, with k = floor(sparsity * size): k elements go, more if some are
    exactly as large as the k-th. With k = 0 all stay.

    Args:
        weight: of any shape.
        sparsity: share that goes, in [0, 1).

    Reference: Han et al. 2017, DSD, arXiv:1607.04381.
    """
    sizes = weight.abs()
    if not isinstance(sparsity, torch.Tensor):
        sparsity = torch.tensor(sparsity, dtype=torch.float64, device=weight.device)
    k = torch.floor(sparsity * weight.numel()).long()
    smallest = torch.sort(sizes.flatten()).values
    threshold = smallest.gather(0, (k - 1).clamp(min=0).view(1))
    return (sizes > threshold) | (k == 0)


class Dsd(Masked):
    """Trains dense, then with the smallest weights of each layer at 0, then dense again.

    At the end of the first phase a share of each layer's weights is pruned, and stays pruned in the
    second; in the third they are trained again, from 0, and all at a lower learning rate: the
    schedule's times `final_rate`. Optimizers forget what they knew of pruned weights at both ends.
    What is compared with it should have as many epochs, and as low a rate at their end (`schedule`
    piecewise), or else it is the low rate that wins.
    """

    reference: ClassVar[str] = "Han et al. 2017, DSD, arXiv:1607.04381"

    sparsity: Annotated[float, PerLane(neutral=0.0)] = Field(
        0.3, ge=0, lt=1, description="share of each layer's weights that is pruned; 0: none"
    )
    dense: float = Field(0.4, gt=0, lt=1, description="share of all epochs before weights go")
    sparse: float = Field(0.3, gt=0, lt=1, description="share of all epochs without them")
    final_rate: Annotated[float, PerLane()] = Field(
        0.1, gt=0, le=1, description="factor on the learning rate once they are back"
    )
    layers: Layers = Field(
        "all", description="whose weights: all, hidden (no head), conv, linear, or names of layers"
    )

    @model_validator(mode="after")
    def _something_is_left(self) -> Self:
        if self.dense + self.sparse >= 1:
            raise ValueError(
                "dense and sparse are shares of all epochs and must leave some for the last phase, "
                f"got {self.dense:g} + {self.sparse:g}; lower one of them"
            )
        return self

    def active(self) -> bool:
        return self.in_play("sparsity")

    def check(self, name: str, inputs: tuple[int, ...], layout: Layout) -> None:
        try:
            layout.select(self.layers)
        except InputError as error:
            raise InputError(f"{name}.layers: {error.message}", error.hint) from None

    def ends(self, epochs: int) -> tuple[int, int]:
        """How many epochs are done when the first phase ends, and when the second does."""
        return round(self.dense * epochs), round((self.dense + self.sparse) * epochs)

    def check_epochs(self, epochs: int) -> None:
        first, second = self.ends(epochs)
        if not 0 < first < second < epochs:
            raise ValueError(
                "each phase of protocol.dsd must come to one epoch at least, got epochs "
                f"{epochs} with shares {self.dense:g}, {self.sparse:g} and the rest; train for "
                "more epochs, or move the shares"
            )

    def rate_factor(self, epoch: int, epochs: int) -> float:
        return self.final_rate if epoch >= self.ends(epochs)[1] else 1.0

    def acts_before(self, epoch: int, epochs: int) -> bool:
        return epoch in self.ends(epochs)

    def before_epoch(
        self, params: torch.Tensor, state: State, moment: Moment
    ) -> tuple[torch.Tensor, State]:
        if moment.epoch == self.ends(moment.epochs)[1]:
            old = state[moment.name]["mask"]
            return params, {
                **forget(state, old),
                moment.name: self.init_state(params, moment.layout),
            }
        named = moment.layout.split(torch.ones_like(params, dtype=torch.bool))
        weights = moment.layout.split(params)
        pruned = {
            name: dsd_mask(weights[name], self.sparsity)
            for name in moment.layout.select(self.layers)
        }
        mask = moment.layout.join({**named, **pruned})
        state = {**forget(state, mask), moment.name: {"mask": mask}}
        return torch.where(mask, params, 0.0), state
