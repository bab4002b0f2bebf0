"""The end of a study: its best candidates run again, one wins, and may be trained once more."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from hpo.errors import StudyFailed
from hpo.final.candidates import grown, refit_steps
from hpo.final.plan import Plan, read_plan, write_plan
from hpo.final.stage import Final
from hpo.final.verdict import judge
from hpo.home import StudyFolder
from hpo.records import State, TrialRecord
from hpo.report import report
from hpo.report.final import as_kept_final
from hpo.report.kept import KeptFinal, read_kept, write_kept
from hpo.runner import Runner, Worked
from hpo.studyfile import Study

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FinalWorked(Worked):
    """What the final stage came to in this run.

    Args:
        found: its verdict; `None` while it is not over.
    """

    found: KeptFinal | None


def run_final(
    study: Study, folder: StudyFolder, trials: list[TrialRecord], runner: Runner
) -> FinalWorked:
    """Runs what the final stage still lacks.

    Args:
        study: with a final stage.
        trials: of its search, which is over; at least one is complete.

    Raises:
        StudyFailed: it cannot go on, or it is over and no candidate has a complete run.
    """
    settings, objective = study.file.final, study.objectives[0]
    assert settings is not None, "the study has a final stage"
    plan, lineup = grown(read_plan(folder.final), settings, study.file.baseline, trials, objective)
    grow(plan, folder)
    worked, refit = runner.work(Final(folder)), None
    found = judge(plan, worked.trials, objective, lineup, settings.repeats)
    if worked.over and found is None:
        runs = [run for run in worked.trials if plan.runs[run.number].trial is not None]
        raise StudyFailed(*report.no_candidate_completed(runs, folder.final))
    if settings.refit and worked.over and found is not None:
        steps = refit_steps(folder.final, list(found.winner.runs.values()))
        plan = plan.with_refit(found.winner.entry, steps)
        grow(plan, folder)
        worked = runner.work(Final(folder))
        refit = plan.refit(found.winner.entry.config, steps)
    if not worked.over or found is None:
        return FinalWorked(worked.trials, worked.progress, None)
    if refit is not None and worked.trials[refit].state is not State.COMPLETE:
        log.warning("the refit did not complete: %s", worked.trials[refit].reason)
        refit = None
    kept = as_kept_final(found, settings.repeats, refit)
    return FinalWorked(worked.trials, worked.progress, kept)


def grow(plan: Plan, folder: StudyFolder) -> None:
    """Writes the plan of the final stage; with more to run the study is complete no longer."""
    if plan == read_plan(folder.final):
        return
    kept = read_kept(folder)
    if kept is not None and kept.complete:
        write_kept(kept.model_copy(update={"complete": False}), folder)
    write_plan(plan, folder.final)
