from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.layout import Layout
from hpo.train.regularizers.base import Context, Moment, PartState, Regularizer, State

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


class Swa(Regularizer):
    """Evaluates and keeps the mean of the weights that training passes through at its end.

    Weights are taken at the end of each epoch, or after each step, once a share of all epochs is
    done; until then nothing is averaged. The learning rate should stay up or go in cycles
    (`schedule` constant, triangular or warm_restarts): where it falls to 0, weights that hardly
    differ are averaged.
    """

    reference: ClassVar[str] = "Izmailov et al. 2018, arXiv:1803.05407"

    kind: Literal["swa"] = "swa"
    start: float = Field(
        0.75, ge=0, lt=1, description="share of all epochs after which averaging begins"
    )
    every: Literal["epoch", "step"] = Field(
        "epoch", description="when weights are taken: at the end of each epoch, or after each step"
    )

    def init_state(self, params: torch.Tensor, layout: Layout) -> PartState:
        zero = params.new_zeros(())
        begun = {"begun": zero} if self.every == "step" else {}
        return {"average": params, "taken": zero, **begun}

    def acts_before(self, epoch: int, epochs: int) -> bool:
        begin = math.floor(self.start * epochs)
        return epoch == begin if self.every == "step" else epoch > begin

    def before_epoch(
        self, params: torch.Tensor, state: State, moment: Moment
    ) -> tuple[torch.Tensor, State]:
        own = state[moment.name]
        if self.every == "step":
            own = {**own, "begun": torch.ones_like(own["begun"])}
        else:
            own = {"average": _with(params, own), "taken": own["taken"] + 1}
        return params, {**state, moment.name: own}

    def after_step(
        self, params: torch.Tensor, state: PartState, context: Context
    ) -> tuple[torch.Tensor, PartState]:
        if self.every == "step":
            taken = state["taken"] + state["begun"]
            state = {**state, "average": _with(params, state), "taken": taken}
        return params, state

    def eval_params(self, params: torch.Tensor, state: PartState) -> torch.Tensor:
        # The end of an epoch is averaged for good only when the next one begins.
        return state["average"] if self.every == "step" else _with(params, state)


def _with(params: torch.Tensor, state: PartState) -> torch.Tensor:
    """The average with parameters beside those taken; as long as none are, these."""
    return torch.lerp(state["average"], params, 1 / (state["taken"] + 1))
