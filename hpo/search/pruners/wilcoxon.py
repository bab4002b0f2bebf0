"""A test against the best trial, fold by fold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from hpo.lazy import lazy
from hpo.search.pruners.base import Pruner, experimental

if TYPE_CHECKING:
    import optuna
else:
    optuna = lazy("optuna")


class Wilcoxon(Pruner):
    """Ends a trial that does worse than the best one on the same folds, by a signed-rank test.

    For trainables whose steps are folds, each reported with a value of its own, and whose objective
    is their mean.

    Reference: Wilcoxon, Individual Comparisons by Ranking Methods, Biometrics Bulletin 1(6), 1945.
    """

    kind: Literal["wilcoxon"] = "wilcoxon"
    p_threshold: float = Field(
        0.1, gt=0, lt=1, description="ends a trial where the test's p is below; larger ends more"
    )
    startup_steps: int = Field(2, ge=2, description="no trial ends before so many folds")

    def make(self) -> optuna.pruners.BasePruner:
        with experimental():
            return optuna.pruners.WilcoxonPruner(
                p_threshold=self.p_threshold, n_startup_steps=self.startup_steps
            )
