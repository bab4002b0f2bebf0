"""Bounds on the objective."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from hpo.lazy import lazy
from hpo.search.pruners.base import Pruner

if TYPE_CHECKING:
    import optuna
else:
    optuna = lazy("optuna")


class Threshold(Pruner):
    """Ends a trial whose objective is out of bounds, whichever direction is better.

    So `upper` is for a loss that has blown up, and `lower` for an accuracy no better than chance.
    """

    kind: Literal["threshold"] = "threshold"
    lower: float | None = Field(None, description="a trial below it ends")
    upper: float | None = Field(None, description="a trial above it ends")
    warmup_steps: int = Field(0, ge=0, description="no trial ends before this step")
    interval_steps: int = Field(1, ge=1, description="steps from one check to the next")

    @model_validator(mode="after")
    def _bounded(self) -> Threshold:
        if self.lower is None and self.upper is None:
            raise ValueError("a threshold needs lower or upper; add upper: NUMBER")
        if self.lower is not None and self.upper is not None and self.lower >= self.upper:
            raise ValueError(f"lower < upper must hold, got lower={self.lower}, upper={self.upper}")
        return self

    def make(self) -> optuna.pruners.BasePruner:
        return optuna.pruners.ThresholdPruner(
            lower=self.lower,
            upper=self.upper,
            n_warmup_steps=self.warmup_steps,
            interval_steps=self.interval_steps,
        )
