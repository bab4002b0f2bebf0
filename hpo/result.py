"""What there is of a study: as its run returns it, and as its record has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpo import frozen
from hpo.budget import Spending
from hpo.home import Home
from hpo.limits import Limits
from hpo.lock import is_held
from hpo.records import Objectives, State, TrialRecord, best_trials
from hpo.report.kept import Kept, read_kept


@dataclass(frozen=True)
class StudyResult:
    """What a run leaves.

    Args:
        done: whether the budget is used up; otherwise the study was stopped and can be continued.
        running: whether a process is at it now.
        total: trials asked for; `None` for a study that ends otherwise.
        front: the best trial, if one is complete; with several objectives, the Pareto set.
        kept: what is kept of it; `None` if there is nothing yet.
        trials: every trial, by number.
        spent: in all runs.
        ended_by: why the study was over before its number of trials; empty if it was not.
        url: the study's page in the tracker, or the command that shows it; `None` if there is none.
        trouble: why the tracker is behind; `None` when all is published.
    """

    name: str
    objectives: Objectives
    done: bool
    running: bool
    total: int | None
    front: list[TrialRecord]
    kept: Kept | None
    trials: list[TrialRecord]
    spent: Spending
    ended_by: str
    folder: Path
    url: str | None
    trouble: str | None

    @property
    def best(self) -> TrialRecord | None:
        """The best trial; `None` if none is complete yet, or if there are several objectives."""
        return self.front[0] if self.front and len(self.objectives) == 1 else None

    @property
    def config(self) -> Any:
        """The best config, typed by the trainable's own model; `None` without a single best."""
        return self.kept.typed() if self.kept and self.best else None

    @property
    def test(self) -> Mapping[str, float]:
        """Test metrics of the best trial, once the study is done."""
        return self.kept.best[0].test if self.kept and self.best else {}


def load_study(name: str, home: str | Path | Home | None = None) -> StudyResult:
    """What is known of a study, read from its record; it may be running.

    Raises:
        InputError: there is no such study.
    """
    folder = Home.at(home).study(name)
    file = frozen.settings(folder)
    with frozen.reading(folder) as record:
        records, spent = (record.trials(), record.spent) if record else ([], Spending())
    kept, front = read_kept(folder), best_trials(records, file.objectives)
    finished = sum(t.state is not State.RUNNING for t in records)
    limits = Limits(file.budget, file.objectives, records)
    current = kept is not None and kept.numbers == tuple(t.number for t in front)
    return StudyResult(
        name=name,
        objectives=file.objectives,
        done=kept is not None and kept.complete and kept.trials == finished,
        running=is_held(folder.root / "run.lock"),
        total=file.search.trials,
        front=front,
        kept=kept if current else None,
        trials=records,
        spent=spent,
        ended_by=limits.reached(spent),
        folder=folder.root,
        url=None,
        trouble=None,
    )
