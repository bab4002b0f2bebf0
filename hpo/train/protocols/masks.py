"""Weights held at 0 for a while: what methods have in common that train part of a net."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from hpo.lazy import lazy
from hpo.train.layout import Layout
from hpo.train.regularizers.base import Context, PartState, Regularizer, State

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


class Masked(Regularizer):
    """Keeps what its mask leaves out at exactly 0, whatever momentum and decay do to it.

    Gradients are still taken there; a bound on their norm counts them.
    """

    @abstractmethod
    def check_epochs(self, epochs: int) -> None:
        """Whether so many epochs are enough for all its phases.

        Raises:
            ValueError: they are not; with what would do.
        """

    def init_state(self, params: torch.Tensor, layout: Layout) -> PartState:
        return {"mask": torch.ones_like(params, dtype=torch.bool)}

    def after_step(
        self, params: torch.Tensor, state: PartState, context: Context
    ) -> tuple[torch.Tensor, PartState]:
        return torch.where(state["mask"], params, 0.0), state


def forget(state: State, mask: torch.Tensor) -> State:
    """The state with what the optimizer keeps of parameters set to 0 outside a mask, bool [P]."""
    optimizer = {
        name: torch.where(mask, value, 0) if value.shape == mask.shape else value
        for name, value in state["optimizer"].items()
    }
    return {**state, "optimizer": optimizer}
