"""What a study may spend, and what it has spent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import Field

from hpo.records import State
from hpo.settings import Settings


class BudgetSettings(Settings):
    """When a study ends, beside its number of trials; whatever is reached first.

    All of it counts over every run of the study. What still runs when a limit is reached is paused
    at its next report and goes on when the study is run again with a larger budget.
    """

    wall_hours: float | None = Field(None, gt=0, description="hours during which it has workers")
    cpu_hours: float | None = Field(None, gt=0, description="hours times CPUs that workers hold")
    gpu_hours: float | None = Field(None, gt=0, description="hours times GPUs that workers hold")
    target: float | None = Field(
        None, description="ends once the objective is at least as good as this"
    )
    no_improvement: int | None = Field(
        None, ge=1, description="ends when so many trials in a row bring nothing better"
    )
    trial_seconds: float | None = Field(
        None, gt=0, description="a trial that runs longer fails; inline, at its next report"
    )
    max_failures: int = Field(
        10, ge=1, description="the study gives up when so many trials in a row fail"
    )

    @property
    def ends(self) -> bool:
        """Whether the study ends without a number of trials."""
        return any((self.wall_hours, self.cpu_hours, self.gpu_hours, self.no_improvement))


@dataclass(frozen=True, slots=True)
class Spending:
    """What a study has spent so far, over all its runs.

    Args:
        wall_seconds: during which it had workers.
        worker_seconds: of all workers together, trials and idling.
        busy_seconds: the part of that spent on trials, by how these ended; of those that have not
            ended yet, under `State.RUNNING`.
        cpu_seconds, gpu_seconds: worker seconds times what each worker held.
        unfinished: busy seconds of each trial that has not ended yet, by number.
    """

    wall_seconds: float = 0.0
    worker_seconds: float = 0.0
    busy_seconds: Mapping[State, float] = field(default_factory=dict)
    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0
    unfinished: Mapping[int, float] = field(default_factory=dict)

    def __add__(self, other: Spending) -> Spending:
        """Of two stages together; each has trials of its own, so `unfinished` is left out."""
        states = [state for state in State if state in {*self.busy_seconds, *other.busy_seconds}]
        busy = {s: self.busy_seconds.get(s, 0.0) + other.busy_seconds.get(s, 0.0) for s in states}
        return Spending(
            self.wall_seconds + other.wall_seconds,
            self.worker_seconds + other.worker_seconds,
            busy,
            self.cpu_seconds + other.cpu_seconds,
            self.gpu_seconds + other.gpu_seconds,
        )

    @property
    def idle_seconds(self) -> float:
        return max(0.0, self.worker_seconds - sum(self.busy_seconds.values()))
