"""What there is of a study: as its run returns it, and as its record has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpo import frozen, run_lock
from hpo.budget import Spending
from hpo.home import Home, StudyFolder
from hpo.limits import Limits
from hpo.records import Objectives, State, TrialRecord, best_trials
from hpo.report.kept import Kept, read_kept
from hpo.studyfile import Study


@dataclass(frozen=True)
class StudyResult:
    """What a run leaves.

    Args:
        done: whether the budget is used up, and the final stage over where there is one; otherwise
            the study was stopped and can be continued.
        running: whether a process is at it now.
        total: trials asked for; `None` for a study that ends otherwise.
        front: the best trial of the search, if one is complete; with several objectives, the
            Pareto set.
        kept: what is kept of it; `None` if there is nothing yet.
        trials: every trial of the search, by number.
        runs: every run of the final stage that was begun, by number.
        spent: by all runs of the study, on all of its stages.
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
    runs: list[TrialRecord]
    spent: Spending
    ended_by: str
    folder: Path
    url: str | None
    trouble: str | None

    @property
    def best(self) -> TrialRecord | None:
        """The best trial of the search, or the one that won the final stage; `None` if none is
        complete yet, or if there are several objectives."""
        if not self.front or len(self.objectives) > 1:
            return None
        final = self.kept.final if self.kept else None
        winner = final.winner.trial if final else None
        return self.front[0] if winner is None else self.trials[winner]

    @property
    def config(self) -> Any:
        """The best config, typed by the trainable's own model; `None` without a single best."""
        return self.kept.typed() if self.kept and self.best else None

    @property
    def test(self) -> Mapping[str, float]:
        """Test metrics of the best trial, once the study is done; of the winner of a final stage,
        their means over its runs."""
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
    with frozen.reading(folder, "final") as record:
        runs, spent_there = (record.trials(), record.spent) if record else ([], Spending())
    kept, front = read_kept(folder), best_trials(records, file.objectives)
    finished = sum(t.state is not State.RUNNING for t in records)
    limits = Limits(file.budget, file.objectives, records)
    current = kept is not None and (
        None not in (file.final, kept.final) or kept.numbers == tuple(t.number for t in front)
    )
    return StudyResult(
        name=name,
        objectives=file.objectives,
        done=kept is not None and kept.complete and kept.trials == finished,
        running=run_lock.is_running(folder),
        total=file.search.trials,
        front=front,
        kept=kept if current else None,
        trials=records,
        runs=runs,
        spent=spent + spent_there,
        ended_by=limits.reached(spent),
        folder=folder.root,
        url="hpo ui" if file.tracking.uri == "default" else None,
        trouble=None,
    )


def is_complete(study: Study, folder: StudyFolder) -> bool:
    """Whether nothing is left to run, as far as the last run could tell."""
    kept, total, final = read_kept(folder), study.file.search.trials, study.file.final
    if kept is None or not kept.complete or (total is not None and total > kept.trials):
        return False
    if final is None or kept.final is None:
        return final is None
    baseline = kept.final.baseline and kept.final.baseline.config
    return (len(kept.final.seeds), baseline) == (final.repeats, study.file.baseline)
