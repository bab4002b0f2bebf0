from __future__ import annotations

from math import isnan
from typing import ClassVar, Literal

from pydantic import Field

from hpo.train.settings import Settings


class EarlyStopping(Settings):
    """Ends training when the validation loss no longer falls, and keeps the best epoch's weights.

    An epoch is better only if val_loss < best - min_delta: a tie is not, and NaN never is. Within a
    cycle of the learning rate the loss rises and falls with the rate: `at: cycle_end` compares, and
    counts, those epochs alone with which a cycle ends.
    """

    reference: ClassVar[str] = (
        "Prechelt 1998, Early stopping - but when?; cycle ends: Loshchilov & Hutter 2017, "
        "arXiv:1608.03983"
    )

    at: Literal["epoch", "cycle_end"] = Field(
        "epoch", description="which epochs count: all, or the last of each cycle of the schedule"
    )
    patience: int = Field(
        5, ge=1, description="epochs that count without a better one after which to stop"
    )
    min_delta: float = Field(0.0, ge=0, description="by how much val_loss must fall to count")

    def better(self, val_loss: float, best: float) -> bool:
        return val_loss < best - self.min_delta or (isnan(best) and not isnan(val_loss))
