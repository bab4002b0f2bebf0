"""How a study searches: the sampler, the budget, the seed."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from hpo.settings import Settings

SamplerName = Literal["grid", "random", "tpe"]


class SearchSettings(Settings):
    """Which configs are tried, and how many."""

    sampler: SamplerName = Field(
        "tpe",
        description="grid: every combination once; random: independent draws; "
        "tpe: tree-structured Parzen estimator (Bayesian)",
    )
    trials: int | None = Field(
        None,
        ge=1,
        description="how many trials in all; raise it to continue a study; "
        "a grid may leave it out and ends by itself",
    )
    seed: int = Field(0, ge=0, lt=2**63, description="same seed, same study")

    @model_validator(mode="after")
    def _ends(self) -> SearchSettings:
        if self.trials is None and self.sampler != "grid":
            raise ValueError(f"trials is required with sampler {self.sampler}")
        return self
