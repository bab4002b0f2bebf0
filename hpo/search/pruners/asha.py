"""Asynchronous successive halving."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from hpo.lazy import lazy
from hpo.search.pruners.base import Pruner, Rungs, geometric

if TYPE_CHECKING:
    import optuna
else:
    optuna = lazy("optuna")


class Asha(Pruner):
    """Asynchronous successive halving.

    At steps `min_steps * reduction_factor ** k` a trial goes on only if it is among the best
    `1 / reduction_factor` of all that have reached that step so far.

    Reference: Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020.
    """

    kind: Literal["asha"] = "asha"
    min_steps: int = Field(1, ge=1, description="no trial ends before this step")
    reduction_factor: int = Field(
        3, ge=2, description="one in so many trials goes on from each rung"
    )

    def make(self) -> optuna.pruners.BasePruner:
        return optuna.pruners.SuccessiveHalvingPruner(
            min_resource=self.min_steps, reduction_factor=self.reduction_factor
        )

    def rungs(self, max_steps: int) -> Rungs:
        return geometric(self.min_steps, self.reduction_factor, max_steps)
