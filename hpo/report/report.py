"""A study's report: what is written beside the record and shown by the tracker."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from hpo.files import write_atomically
from hpo.home import StudyFolder
from hpo.records import TrialRecord, best_trial
from hpo.report.best import Best, read_best
from hpo.report.pages import study_page, write_report
from hpo.search.importance import importances
from hpo.space import Range
from hpo.studyfile import Study
from hpo.track import StudyPage


def begin(study: Study, folder: StudyFolder) -> None:
    """What is known before the first trial: the study file and its resolved space."""
    write_atomically(folder.report / "study.yaml", study.text)
    write_atomically(folder.report / "space.json", json.dumps(study.file.space, indent=1))


def page(study: Study, folder: StudyFolder, trials: Sequence[TrialRecord]) -> StudyPage:
    """How far the study is, for the tracker."""
    kept = read_best(folder)
    best = best_trial(list(trials), study.objective)
    return study_page(
        trials,
        study.objective,
        total=study.file.search.trials,
        ranges=ranges(study),
        test=kept.test if kept and best and kept.trial == best.number else None,
        artifacts=folder.report,
    )


def end(study: Study, folder: StudyFolder, trials: Sequence[TrialRecord], best: Best) -> None:
    """The summary, the best config and the plots."""
    write_report(
        trials,
        study.objective,
        folder.report,
        total=study.file.search.trials,
        ranges=ranges(study),
        test=best.test,
        importances=importances(folder.journal, study.objective),
    )


def as_best(study: Study, trial: TrialRecord, finished: int, complete: bool) -> Best:
    """A complete trial as what is kept of the best one, its test metrics still unknown."""
    assert trial.value is not None, "a complete trial has a value"
    return Best(
        study=study.name,
        trial=trial.number,
        trials=finished,
        complete=complete,
        objective=study.objective,
        value=trial.value,
        metrics=dict(trial.metrics),
        test={},
        trainable=study.file.trainable,
        folder=str(study.folder.resolve()),
        config=dict(trial.config),
    )


def nothing_completed(trials: Sequence[TrialRecord], folder: StudyFolder) -> tuple[str, str]:
    """Message and hint for a study that has no result."""
    reasons = Counter(f"{t.state.value}: {t.reason}" for t in trials if t.reason)
    why, times = reasons.most_common(1)[0] if reasons else ("no trial was run", 0)
    tracebacks = [t.number for t in trials if folder.traceback(t.number).exists()]
    hint = f"a traceback is in {folder.traceback(tracebacks[0])}; " if tracebacks else ""
    hint += f"once mended, remove {folder.root} to start anew, or ask for more trials"
    return f"none of {len(trials)} trials completed; most often ({times}x) {why}", hint


def ranges(study: Study) -> dict[str, tuple[float, float]]:
    """Low and high of every searched number, by parameter name."""
    found = (here.parameter for here in study.space.parameters)
    return {p.name: (p.low, p.high) for p in found if isinstance(p, Range)}
