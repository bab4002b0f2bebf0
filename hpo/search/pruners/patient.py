"""Patience around another pruner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from hpo.lazy import lazy
from hpo.search.pruners.asha import Asha
from hpo.search.pruners.base import Pruner, Rungs
from hpo.search.pruners.hyperband import Hyperband
from hpo.search.pruners.percentile import Median, Percentile
from hpo.search.pruners.threshold import Threshold

if TYPE_CHECKING:
    import optuna
else:
    optuna = lazy("optuna")

# Without the pruner for folds: a fold does not improve on the one before.
Inner = Annotated[Asha | Hyperband | Median | Percentile | Threshold, Field(discriminator="kind")]


class Patient(Pruner):
    """Asks another pruner only about trials that no longer improve."""

    kind: Literal["patient"] = "patient"
    patience: int = Field(3, ge=0, description="reports in a row that may bring nothing better")
    min_delta: float = Field(0.0, ge=0, description="what an improvement must exceed")
    pruner: Inner = Field(description="the one that is asked then")

    def make(self) -> optuna.pruners.BasePruner:
        return optuna.pruners.PatientPruner(self.pruner.make(), self.patience, self.min_delta)

    def rungs(self, max_steps: int) -> Rungs:
        return self.pruner.rungs(max_steps)
