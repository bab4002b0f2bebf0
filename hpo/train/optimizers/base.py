"""What an optimizer is to a training step."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from hpo.train.settings import Settings

if TYPE_CHECKING:
    import torch

OptimizerState = dict[str, "torch.Tensor"]


class OptimizerPart(Settings):
    """Turns gradients into a direction; the step subtracts the learning rate times it.

    Like all that runs inside a step, both methods are pure and written for one trial.
    """

    @abstractmethod
    def init_state(self, params: torch.Tensor) -> OptimizerState:
        """The state before the first step, for parameters [P]."""

    @abstractmethod
    def direction(
        self, grads: torch.Tensor, state: OptimizerState, t: torch.Tensor
    ) -> tuple[torch.Tensor, OptimizerState]:
        """One step's direction [P] and the state after it.

        Args:
            grads: gradients after regularizers and clipping, [P].
            t: steps done before this one, a float [].
        """

    def scaled(self, kappa: float) -> dict[str, float]:
        """The settings that must follow the batch size beside the learning rate, as they then are.

        The learning rate itself is scaled by sqrt(kappa). An optimizer without such settings has
        none to give.

        Args:
            kappa: batch size by base batch size, above 0.
        """
        return {}
