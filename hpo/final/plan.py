"""Which runs the final stage is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from hpo import seeds
from hpo.errors import InputError
from hpo.files import write_atomically
from hpo.home import StudyFolder
from hpo.records import Json, canonical
from hpo.settings import Settings

BASELINE = "baseline"
"""The name of the candidate that no trial of the search has found."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A config that is to run over several seeds.

    Args:
        trial: of the search, that found it; `None` for the baseline.
    """

    trial: int | None
    config: Mapping[str, Json]

    @property
    def name(self) -> str:
        return BASELINE if self.trial is None else f"trial {self.trial}"


class Run(Settings):
    """One run: a config and what it starts from.

    Args:
        trial: of the search, whose config this is; `None` for the baseline's.
        repeat: from 0; runs of the same repeat start from the same seed, whatever their config.
        refit: steps to train for on training and validation rows together; `None`: an honest run.
    """

    trial: int | None = None
    config: dict[str, Any]
    repeat: int = Field(ge=0)
    refit: int | None = Field(None, ge=1)

    @property
    def seed(self) -> int:
        return seeds.of_repeat(self.repeat)


class Plan(Settings):
    """The runs of a final stage, by number. It only grows: a run that was made is never moved.

    Args:
        candidates: trials of the search that have been among its best at the end of a search; who
            was one stays one, since more trials do not make it worse.
    """

    schema_version: Literal[1] = 1
    candidates: tuple[int, ...] = ()
    runs: tuple[Run, ...] = ()

    def with_candidates(self, trials: Iterable[int]) -> Plan:
        new = [number for number in trials if number not in self.candidates]
        return self.model_copy(update={"candidates": (*self.candidates, *new)})

    def with_repeats(self, entries: Iterable[Entry], repeats: int) -> Plan:
        """The plan with so many runs of each of these configs.

        Those of one repeat come together: a stage that is interrupted has compared like with like.
        """
        return self._with(
            Run(trial=entry.trial, config=dict(entry.config), repeat=repeat)
            for repeat in range(repeats)
            for entry in entries
        )

    def with_refit(self, entry: Entry, steps: int) -> Plan:
        """The plan with a config's run on training and validation rows together."""
        config = dict(entry.config)
        return self._with([Run(trial=entry.trial, config=config, repeat=0, refit=steps)])

    def numbers(self, config: Mapping[str, Json]) -> dict[int, int]:
        """The honest runs of a config: their numbers by repeat."""
        sought = canonical(config)
        return {
            run.repeat: number
            for number, run in enumerate(self.runs)
            if run.refit is None and canonical(run.config) == sought
        }

    def refit(self, config: Mapping[str, Json], steps: int) -> int | None:
        """The number of a config's refit of so many steps; `None` if it has none."""
        sought = _key(Run(config=dict(config), repeat=0, refit=steps))
        return next((n for n, run in enumerate(self.runs) if _key(run) == sought), None)

    def _with(self, wanted: Iterable[Run]) -> Plan:
        there = {_key(run) for run in self.runs}
        new: dict[tuple[str, int, int | None], Run] = {}
        for run in wanted:
            if _key(run) not in there:
                new.setdefault(_key(run), run)
        return self.model_copy(update={"runs": (*self.runs, *new.values())})


def read_plan(folder: StudyFolder) -> Plan:
    """The plan of a final stage; an empty one where there is none yet.

    Raises:
        InputError: it is damaged.
    """
    try:
        return Plan.model_validate_json(folder.plan.read_bytes())
    except FileNotFoundError:
        return Plan()
    except ValueError as error:
        raise InputError(
            f"{folder.plan} is damaged: {error}",
            f"put it back from a copy, or remove {folder.root}: the final stage runs anew",
        ) from None


def write_plan(plan: Plan, folder: StudyFolder) -> None:
    write_atomically(folder.plan, plan.model_dump_json(indent=1))


def _key(run: Run) -> tuple[str, int, int | None]:
    return canonical(run.config), run.repeat, run.refit
