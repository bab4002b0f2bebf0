"""Which runs the final stage is made of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import Field

from hpo.files import write_atomically
from hpo.home import StudyFolder
from hpo.records import Json
from hpo.seeds import derive
from hpo.settings import Settings


class Run(Settings):
    """One run: a config and what it starts from.

    Args:
        repeat: from 0; runs of the same repeat start from the same seed, whatever their config.
    """

    config: dict[str, Any]
    repeat: int = Field(ge=0)

    @property
    def seed(self) -> int:
        """The same in every study, so that two studies can be compared seed by seed."""
        return derive("final", self.repeat)


class Plan(Settings):
    """The runs of a final stage, by number. It only grows: a run that was made is never moved."""

    schema_version: Literal[1] = 1
    runs: tuple[Run, ...] = ()

    def with_repeats(self, configs: Iterable[Mapping[str, Json]], repeats: int) -> Plan:
        """The plan with so many runs of each of these configs.

        Those of one repeat come together: a stage that is interrupted has compared like with like.
        """
        there = {_key(run) for run in self.runs}
        wanted = [
            Run(config=dict(config), repeat=repeat)
            for repeat in range(repeats)
            for config in configs
        ]
        new = {_key(run): run for run in wanted if _key(run) not in there}
        return self.model_copy(update={"runs": (*self.runs, *new.values())})

    def numbers(self, config: Mapping[str, Json]) -> dict[int, int]:
        """The runs of a config: their numbers by repeat."""
        canonical = _canonical(config)
        return {
            run.repeat: number
            for number, run in enumerate(self.runs)
            if _canonical(run.config) == canonical
        }


def read_plan(folder: StudyFolder) -> Plan:
    """The plan of a final stage; an empty one where there is none yet."""
    try:
        return Plan.model_validate_json(folder.plan.read_bytes())
    except FileNotFoundError:
        return Plan()


def write_plan(plan: Plan, folder: StudyFolder) -> None:
    write_atomically(folder.plan, plan.model_dump_json(indent=1))


def _key(run: Run) -> tuple[str, int]:
    return _canonical(run.config), run.repeat


def _canonical(config: Mapping[str, Json]) -> str:
    return json.dumps(config, sort_keys=True)
