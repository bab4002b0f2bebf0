"""How a study searches: the sampler, the number of trials, the seed, what is known before."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from hpo.settings import Settings

SamplerName = Literal["grid", "random", "qmc", "tpe", "gp", "cmaes", "nsga2", "auto"]


class SearchSettings(Settings):
    """Which configs are tried, and how many."""

    sampler: SamplerName = Field(
        "auto",
        description="grid: every combination once; random: independent draws; qmc: scrambled Sobol "
        "points; tpe: tree-structured Parzen estimator; gp: Gaussian process; cmaes: evolution "
        "strategy; nsga2: genetic, for several objectives; auto: chosen by the space, and said",
    )
    trials: int | None = Field(
        None,
        ge=1,
        description="how many trials in all; raise it to continue a study; may be left out where "
        "a grid or the budget ends it",
    )
    seed: int = Field(0, ge=0, lt=2**63, description="same seed, same study")
    enqueue: list[dict[str, Any]] = Field(
        [],
        description="configs to try first, whole or in part (the sampler chooses the rest), or "
        "{best_of: STUDY} for the best of an earlier study",
    )
    warm_start: list[str] = Field(
        [], description="earlier studies whose compatible trials the sampler learns from"
    )

    @property
    def learns(self) -> bool:
        """Whether what is tried depends on the results so far."""
        return self.sampler not in ("grid", "random", "qmc")
