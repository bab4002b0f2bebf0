"""How far a study is, for whoever looks on."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import InstanceOf

from hpo.budget import Spending
from hpo.errors import HpoError
from hpo.records import State, TrialRecord


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a study is.

    Args:
        total: trials asked for, or points of the grid if these are fewer; `None` if only the budget
            ends the study.
        counts: trials by state.
        best: the best complete trial; with several objectives, the Pareto set.
        started: when this run began, Unix time; finished_here: trials finished since.
        done: whether the budget is used up and every trial has ended or is paused.
        failure: why the study cannot go on; `None` if it can.
        spent: in all runs.
        ended_by: why the study was over before its number of trials; empty if it was not.
        workers, nodes, gpus: in use now; a run without Ray has one worker.
    """

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
