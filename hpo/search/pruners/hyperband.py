"""Hyperband: successive halving that hedges against curves which cross."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from hpo.lazy import lazy
from hpo.search.pruners.base import Pruner, Rungs, geometric

if TYPE_CHECKING:
    import optuna
else:
    optuna = lazy("optuna")


class Hyperband(Pruner):
    """Several successive halvings side by side, the first of which judges earliest.

    A trial belongs to one of them by its number: number `b` judges at steps
    `min_steps * reduction_factor ** (b + k)`, and the last one lets its trials run to the end. The
    more a halving ends early, the more trials it gets.

    Reference: Li et al., Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization,
    JMLR 18(185), 2018.
    """

    kind: Literal["hyperband"] = "hyperband"
    # Guessing it from the first trial to complete would let the order of events decide.
    max_steps: int = Field(ge=1, description="the last step of a trial that runs to its end")
    min_steps: int = Field(1, ge=1, description="no trial ends before this step")
    reduction_factor: int = Field(
        3, ge=2, description="one in so many trials goes on from each rung"
    )

    @model_validator(mode="after")
    def _in_order(self) -> Hyperband:
        if self.min_steps > self.max_steps:
            raise ValueError(
                "min_steps <= max_steps must hold, got"
                f" min_steps={self.min_steps}, max_steps={self.max_steps}"
            )
        return self

    def make(self) -> optuna.pruners.BasePruner:
        last, _ = self.rungs(self.max_steps)[-1]
        # Optuna only counts halvings by it, as the whole part of a logarithm in floats, and that of
        # 243 = 3**5 is below 5. Amid two powers rounding does no harm.
        between = last * (1 + self.reduction_factor) // 2
        return optuna.pruners.HyperbandPruner(
            min_resource=self.min_steps,
            max_resource=between,
            reduction_factor=self.reduction_factor,
        )

    def rungs(self, max_steps: int) -> Rungs:
        return geometric(self.min_steps, self.reduction_factor, min(max_steps, self.max_steps))
