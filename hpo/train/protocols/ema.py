from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.layout import Layout
from hpo.train.optimizers.adam import one_minus_power
from hpo.train.regularizers.base import Context, PartState, Regularizer
from hpo.train.settings import PerLane

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


def moving_average(
    average: torch.Tensor, params: torch.Tensor, decay: torch.Tensor | float, t: torch.Tensor
) -> torch.Tensor:
    """The average of the parameters after one more step, w_s of step s weighing decay**(t - s).

    average + (1 - decay) / (1 - decay**(t + 1)) * (params - average): after the first step it is
    those parameters, whatever it was before, so that it never remembers the initial ones.

    Args:
        average: before the step, of the shape of `params`.
        decay: in [0, 1).
        t: steps done before this one, a float [].
    """
    decay = torch.as_tensor(decay, dtype=t.dtype, device=t.device)  # rounded once for both uses
    rate = (1 - decay) / one_minus_power(decay, t + 1)
    return torch.lerp(average, params, rate)


class Ema(Regularizer):
    """Evaluates and keeps an exponential moving average of the weights; these train as without.

    An average over the last 1 / (1 - decay) steps or so, corrected for the bias of its beginning.
    """

    reference: ClassVar[str] = (
        "Polyak & Juditsky 1992; decay: Tarvainen & Valpola 2017, arXiv:1703.01780; correction: "
        "Kingma & Ba 2015, section 7.2"
    )

    kind: Literal["ema"] = "ema"
    decay: Annotated[float, PerLane(neutral=0.0)] = Field(
        0.999, ge=0, lt=1, description="share of the average kept from step to step; 0: none"
    )

    def init_state(self, params: torch.Tensor, layout: Layout) -> PartState:
        return {"average": params}

    def after_step(
        self, params: torch.Tensor, state: PartState, context: Context
    ) -> tuple[torch.Tensor, PartState]:
        average = moving_average(state["average"], params, self.decay, context.t)
        return params, {"average": average}

    def eval_params(self, params: torch.Tensor, state: PartState) -> torch.Tensor:
        return state["average"]
