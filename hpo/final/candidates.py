"""Which configs of a search run again, and which of their runs are still to be planned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hpo import metric_log
from hpo.final.plan import Entry, Plan
from hpo.final_settings import FinalSettings
from hpo.home import StudyFolder
from hpo.records import Json, Objective, State, TrialRecord


@dataclass(frozen=True, slots=True)
class Lineup:
    """Who runs in a final stage.

    Args:
        candidates: trials of the search, one of which wins.
        baseline: the config to beat, if the study names one; it cannot win.
    """

    candidates: tuple[TrialRecord, ...]
    baseline: Entry | None

    @property
    def entries(self) -> list[Entry]:
        found = [Entry(trial.number, trial.config) for trial in self.candidates]
        return found + ([self.baseline] if self.baseline else [])


def finalists(trials: Sequence[TrialRecord], objective: Objective, top_k: int) -> list[TrialRecord]:
    """The best complete trials of different configs, best first; of equals the first."""
    complete = [trial for trial in trials if trial.state is State.COMPLETE and trial.values]
    found: list[TrialRecord] = []
    for trial in sorted(complete, key=lambda t: (objective.rank(t.values[0]), t.number)):
        if len(found) < top_k and all(trial.config != other.config for other in found):
            found.append(trial)
    return found


def grown(
    plan: Plan,
    settings: FinalSettings,
    baseline: Json | None,
    trials: Sequence[TrialRecord],
    objective: Objective,
) -> tuple[Plan, Lineup]:
    """The plan with all that the final stage needs after a search, and who runs in it.

    Args:
        trials: of the search, by number.
    """
    best = finalists(trials, objective, settings.top_k)
    plan = plan.with_candidates(trial.number for trial in best)
    candidates = tuple(trials[number] for number in plan.candidates)
    lineup = Lineup(candidates, None if baseline is None else Entry(None, baseline))
    return plan.with_repeats(lineup.entries, settings.repeats), lineup


def refit_steps(folder: StudyFolder, runs: Sequence[TrialRecord]) -> int:
    """For how many steps a refit trains: as long as a config's honest runs needed, on average.

    Args:
        folder: of the final stage.
        runs: complete ones of the config, at least one.
    """
    return max(1, round(sum(_needed(folder, run) for run in runs) / len(runs)))


def _needed(folder: StudyFolder, run: TrialRecord) -> int:
    """The step whose metrics a run returned, as with early stopping; else its last one."""
    return max(_returned(folder, run), default=run.steps)


def _returned(folder: StudyFolder, run: TrialRecord) -> Iterator[int]:
    for report in metric_log.read(folder.metrics(run.number)):
        if all(run.metrics.get(name) == value for name, value in report.metrics.items()):
            yield report.step
