"""What a bundle says."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import ConfigDict, Field

from hpo.records import Json, Objectives
from hpo.settings import Settings


class Spread(Settings):
    """A metric over repeated runs of one config, each from another seed.

    Args:
        values: one for each seed, in the order of `Contents.seeds`.
    """

    model_config = ConfigDict(allow_inf_nan=True, ser_json_inf_nan="strings")

    values: tuple[float, ...] = Field(min_length=1)

    @property
    def mean(self) -> float:
        return math.fsum(self.values) / len(self.values)

    @property
    def standard_deviation(self) -> float:
        """Between seeds; 0 for a single one."""
        n, mean = len(self.values), self.mean
        squares = math.fsum((value - mean) ** 2 for value in self.values)
        return math.sqrt(squares / (n - 1)) if n > 1 else 0.0

    def __str__(self) -> str:
        n = len(self.values)
        if n == 1:
            return f"{self.mean:.4g} (n = 1)"
        return f"{self.mean:.4g} ± {self.standard_deviation / math.sqrt(n):.2g} (n = {n})"


class Provenance(Settings):
    """Where a config comes from, as far as it decides what training it again gives.

    Args:
        packages: versions, by the name of the distribution.
        commit: of the Git repository that the study file lies in; `None` outside of one.
        clean: whether that repository had no uncommitted changes.
        data: digests of what was trained on, by name; empty where the trainable cannot tell.
    """

    python: str
    platform: str
    packages: dict[str, str]
    commit: str | None = None
    clean: bool | None = None
    data: dict[str, str] = Field(default_factory=dict)


class Contents(Settings):
    """The facts of a bundle; its other files are the study file and the weights.

    Args:
        trainable: as the study file names it.
        trial: the number of the trial that found the config.
        config: it, ready for the trainable's own Pydantic model.
        derived: what follows from it, by dotted path.
        space: that was searched.
        objectives: that chose it.
        seeds: `trial.seed` of each run that the metrics are from.
        validation: final metrics of those runs, by name.
        test: their test metrics.
        refit: whether the weights are of one more run, on training and validation rows together,
            of which there are no metrics; otherwise they are of the first of those runs.
    """

    schema_version: Literal[1] = 1
    study: str
    study_id: str
    trainable: str
    trial: int = Field(ge=0)
    config: dict[str, Any]
    derived: dict[str, float] = Field(default_factory=dict)
    space: Json
    objectives: Objectives = Field(min_length=1)
    seeds: tuple[int, ...] = Field(min_length=1)
    validation: dict[str, Spread]
    test: dict[str, Spread] = Field(default_factory=dict)
    refit: bool = False
    provenance: Provenance
