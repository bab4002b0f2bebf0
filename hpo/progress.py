"""How far a study is, for whoever looks on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pydantic import InstanceOf

from hpo.budget import Spending
from hpo.errors import HpoError
from hpo.records import StageName, State, TrialRecord


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stage of a study is.

    Args:
        stage: the search, or the final stage, whose trials are the runs of its candidates.
        total: trials asked for, or points of the grid if these are fewer; `None` if only the budget
            ends the study.
        counts: trials by state.
        best: the best complete trial; with several objectives, the Pareto set.
        started: when this run began, Unix time; finished_here: trials finished since.
        done: whether its budget is used up and every trial has ended or is paused.
        failure: why the study cannot go on; `None` if it can.
        spent: in all runs.
        ended_by: why the study was over before its number of trials; empty if it was not.
        workers, nodes, gpus: in use now; a run without Ray has one worker.
    """

    stage: StageName
    total: int | None
    counts: dict[State, int]
    best: tuple[TrialRecord, ...]
    started: float
    finished_here: int
    done: bool
    stopping: bool
    failure: InstanceOf[HpoError] | None
    spent: Spending
    ended_by: str
    workers: int = 0
    nodes: int = 0
    gpus: float = 0.0

    @property
    def finished(self) -> int:
        return sum(n for state, n in self.counts.items() if state is not State.RUNNING)


Observer = Callable[[Progress, str | None], None]
"""Called a few times a second with the progress and what is wrong with the tracker, if anything."""


def at_rest(
    stage: StageName, total: int | None, trials: Iterable[TrialRecord], spent: Spending
) -> Progress:
    """How far a stage is that nobody works on."""
    counts = dict(Counter(trial.state for trial in trials))
    done = total is not None and counts.get(State.RUNNING, 0) == 0 and sum(counts.values()) >= total
    return Progress(
        stage=stage,
        total=total,
        counts=counts,
        best=(),
        started=0.0,
        finished_here=0,
        done=done,
        stopping=False,
        failure=None,
        spent=spent,
        ended_by="",
    )
