"""What a bundle says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator

from hpo.records import Json, Objectives
from hpo.repeated import Repeated
from hpo.settings import Settings


class Provenance(Settings):
    """Where a config comes from, as far as it decides what training it again gives.

    Args:
        packages: versions, by the name of the distribution.
        commit: of the Git repository that the study file lies in; `None` outside of one.
        clean: whether that repository had no uncommitted changes.
        code: a digest of the Python files beside the study file; `None` for the built-in trainer,
            whose version is among the packages.
        data: digests of what was trained on, by name; empty where the trainable cannot tell.
    """

    python: str
    platform: str
    packages: dict[str, str]
    commit: str | None = None
    clean: bool | None = None
    code: str | None = None
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
        validation: final metrics of those runs, by name, each in the order of `seeds`.
        test: their test metrics.
        refit: whether the weights are of one more run, on training and validation rows together,
            of which there are no metrics; otherwise they are of the first of those runs.
    """

    model_config = ConfigDict(allow_inf_nan=True, ser_json_inf_nan="strings")

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
    validation: dict[str, tuple[float, ...]]
    test: dict[str, tuple[float, ...]] = Field(default_factory=dict)
    refit: bool = False
    provenance: Provenance

    @model_validator(mode="after")
    def _fit(self) -> Contents:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("every run has a seed of its own")
        if missing := {o.metric for o in self.objectives} - self.validation.keys():
            raise ValueError(f"there is no validation of {', '.join(sorted(missing))}")
        for name, values in {**self.validation, **self.test}.items():
            if len(values) != len(self.seeds):
                raise ValueError(f"{name} has a value for each of {len(self.seeds)} seeds")
        return self

    def repeated(self, values: Sequence[float]) -> Repeated:
        """Numbers that stand in the order of `seeds`, by seed."""
        return Repeated(dict(zip(self.seeds, values, strict=True)))
