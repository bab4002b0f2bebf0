from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from hpo.train.regularizers.base import Context
from hpo.train.regularizers.dropout import dropout
from hpo.train.regularizers.weights_part import WeightsPart
from hpo.train.settings import PerLane

if TYPE_CHECKING:
    import torch


class DropConnect(WeightsPart):
    """Drops single weights in the forward pass and divides the rest by 1 - rate; nothing to do at
    evaluation.

    One mask a step, which all rows of a batch share; the paper draws one for each row. On the
    weights between states of a recurrent net (`layers: [rnn.weight_hh_l0]`) the mask is the same
    at all steps of a sequence.
    """

    reference: ClassVar[str] = (
        "Wan et al. 2013, DropConnect; a mask for each batch: Merity et al. 2018, arXiv:1708.02182"
    )

    rate: Annotated[float, PerLane(neutral=0.0)] = Field(
        ge=0, le=0.9, description="share of the weights that is dropped"
    )

    def replaced(self, weight: torch.Tensor, name: str, context: Context) -> torch.Tensor:
        return dropout(weight, self.rate, context.noise, f"regularization.drop_connect.{name}")
