"""Comparison with the complete trials at the same step."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from hpo.lazy import lazy
from hpo.search.pruners.base import Pruner, Rungs

if TYPE_CHECKING:
    import optuna
else:
    optuna = lazy("optuna")

SHOWN = 6
"""So many checks stand for all of them."""


class Comparison(Pruner):
    """Ends a trial whose best value so far is not among the best of complete trials there."""

    startup_trials: int = Field(5, ge=0, description="no trial ends before so many are complete")
    warmup_steps: int = Field(0, ge=0, description="no trial ends before this step")
    interval_steps: int = Field(1, ge=1, description="steps from one check to the next")
    min_trials: int = Field(
        1, ge=1, description="no trial ends where fewer complete ones have a value at its step"
    )

    @property
    @abstractmethod
    def share(self) -> float:
        """Of the trials, that goes on."""

    def make(self) -> optuna.pruners.BasePruner:
        return optuna.pruners.PercentilePruner(
            100 * self.share,
            n_startup_trials=self.startup_trials,
            n_warmup_steps=self.warmup_steps,
            interval_steps=self.interval_steps,
            n_min_trials=self.min_trials,
        )

    def rungs(self, max_steps: int) -> Rungs:
        checks = range(self.warmup_steps or self.interval_steps, max_steps + 1, self.interval_steps)
        shown = min(len(checks), SHOWN)
        picked = [checks[(k + 1) * len(checks) // shown - 1] for k in range(shown)]
        return [(step, self.share) for step in picked]


class Median(Comparison):
    """Ends a trial whose best value so far is worse than the median of complete trials there.

    Reference: Golovin et al., Google Vizier: A Service for Black-Box Optimization, KDD 2017.
    """

    kind: Literal["median"] = "median"

    @property
    def share(self) -> float:
        return 0.5


class Percentile(Comparison):
    """Ends a trial whose best value so far is not among the best of complete trials there."""

    kind: Literal["percentile"] = "percentile"
    percentile: float = Field(
        25.0, gt=0, lt=100, description="percent of the trials that go on: 25 is the best quarter"
    )

    @property
    def share(self) -> float:
        return self.percentile / 100
