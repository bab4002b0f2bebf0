"""Patience around another pruner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from hpo.lazy import lazy
from hpo.search.pruners.asha import Asha
from hpo.search.pruners.base import Pruner, Rungs, experimental
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
    """Asks another pruner only about a trial that has been getting worse for a while.

    That is one whose last `patience + 1` reports are all worse than its best before them, by more
    than `min_delta`.
    """

    kind: Literal["patient"] = "patient"
    patience: int = Field(
        3, ge=0, description="so many reports in a row may be worse than the best"
    )
    min_delta: float = Field(
        0.0, ge=0, description="a report counts as worse only by more than this"
    )
    pruner: Inner = Field(description="the one that is asked then")

    def make(self) -> optuna.pruners.BasePruner:
        with experimental():
            return optuna.pruners.PatientPruner(self.pruner.make(), self.patience, self.min_delta)

    def rungs(self, max_steps: int) -> Rungs:
        return self.pruner.rungs(max_steps)
