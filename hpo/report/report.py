"""A study's report: what is written beside the record and shown by the tracker."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from hpo.budget import Spending
from hpo.bundle import newest
from hpo.files import write_atomically
from hpo.home import StudyFolder
from hpo.progress import Progress
from hpo.records import State, TrialRecord
from hpo.report.audit import Audit, Curve, audit
from hpo.report.kept import Kept, KeptTrial, read_kept
from hpo.report.markdown import markdown
from hpo.report.pages import study_page, write_report
from hpo.report.summary import summarize
from hpo.search.pruners import NoPruner
from hpo.space import Range
from hpo.studyfile import Study
from hpo.track import StudyPage


def begin(study: Study, folder: StudyFolder) -> None:
    """What is known before the first trial: the study file and its resolved space."""
    write_atomically(folder.report / "study.yaml", study.text)
    write_atomically(folder.report / "space.json", json.dumps(study.file.space, indent=1))


def page(
    study: Study,
    folder: StudyFolder,
    trials: Sequence[TrialRecord],
    spent: Spending,
    final: Progress | None = None,
) -> StudyPage:
    """How far the study is, for the tracker.

    Args:
        final: how far its final stage is, once that has begun.
    """
    summary, kept = summarize(trials, study.objectives, spent), read_kept(folder)
    over = kept is not None and kept.complete
    text = markdown(
        summary,
        name=study.name,
        total=study.file.search.trials,
        ranges=ranges(study),
        tests=_tests(kept),
        final=kept.final if kept else None,
        runs=None if final is None or over else (final.finished, final.total),
        over=over,
    )
    shown = study_page(summary, text, folder.report)
    if kept is not None and kept.final is not None:  # what won, and not what the search liked best
        shown = replace(shown, best=[t for t in trials if t.number == kept.final.winner.trial])
    begun = final is not None or (kept is not None and kept.final is not None)
    return replace(shown, final=begun, bundle=newest(folder.bundles))


def end(
    study: Study,
    folder: StudyFolder,
    trials: Sequence[TrialRecord],
    kept: Kept | None,
    curves: Mapping[int, Curve],
    importances: Mapping[str, float],
    spent: Spending,
    ended_by: str,
) -> None:
    """The summary, the best config and the plots.

    Args:
        kept: the best trials; `None` if none is complete.
        curves: the first objective by step, by trial number.
        importances: of the parameters for the first objective; may be empty.
        ended_by: why the study ended before its number of trials; may be empty.
    """
    summary = summarize(trials, study.objectives, spent)
    text = markdown(
        summary,
        name=study.name,
        total=study.file.search.trials,
        ranges=ranges(study),
        tests=_tests(kept),
        final=kept.final if kept else None,
        audit=pruner_audit(study, trials, curves),
        over=kept is not None and kept.complete,
        ended_by=ended_by,
    )
    write_report(trials, summary, text, kept, importances, folder.report)


def as_kept(study: Study, best: Sequence[TrialRecord], finished: int, complete: bool) -> Kept:
    """The best trials, at least one, as what is kept of them, their test metrics still unknown."""
    return Kept(
        study=study.name,
        trials=finished,
        complete=complete,
        objectives=study.objectives,
        trainable=study.file.trainable,
        folder=str(study.folder.resolve()),
        best=[
            KeptTrial(
                trial=trial.number,
                values=trial.values,
                metrics=dict(trial.metrics),
                config=dict(trial.config),
            )
            for trial in best
        ],
    )


def pruner_audit(
    study: Study, trials: Sequence[TrialRecord], curves: Mapping[int, Curve]
) -> Audit | None:
    """What the study's pruner did and risked; `None` where nothing is pruned."""
    pruner = study.file.pruner
    if isinstance(pruner, NoPruner):
        return None
    full = {}
    for trial in trials:
        if trial.state is State.PRUNED:
            steps = study.trainable.steps(study.space.config(trial.config))
            if steps is not None:
                full[trial.number] = steps
    longest = max((*full.values(), *(trial.steps for trial in trials)), default=0)
    return audit(trials, curves, pruner.rungs(longest), study.objectives[0], full)


def nothing_completed(trials: Sequence[TrialRecord], folder: StudyFolder) -> tuple[str, str]:
    """Message and hint for a study that has no result."""
    why, hint = _most_frequent(trials, folder)
    hint += f"once mended, remove {folder.root} to start anew, or ask for more trials"
    return f"none of {len(trials)} trials completed; most often {why}", hint


def no_candidate_completed(runs: Sequence[TrialRecord], folder: StudyFolder) -> tuple[str, str]:
    """Message and hint for a final stage that has no winner.

    Args:
        runs: of its candidates, without those of the baseline.
        folder: of the final stage.
    """
    why, hint = _most_frequent(runs, folder)
    hint += "once mended, run the study again with more final.repeats: those that are new run"
    return f"none of the candidates' {len(runs)} final runs completed; most often {why}", hint


def _most_frequent(trials: Sequence[TrialRecord], folder: StudyFolder) -> tuple[str, str]:
    """The reason that most trials ended by, and where a traceback of it is, if anywhere."""
    reasons = Counter((t.state, t.reason) for t in trials if t.reason)
    if not reasons:
        return "(0x) no trial was run", ""
    (state, reason), times = reasons.most_common(1)[0]
    paths = (folder.traceback(t.number) for t in trials if (t.state, t.reason) == (state, reason))
    path = next((path for path in paths if path.exists()), None)
    hint = f"a traceback is in {path}; " if path else ""
    return f"({times}x) {state.value.replace('_', ' ')}: {reason}", hint


def ranges(study: Study) -> dict[str, Range]:
    """Every searched number, by parameter name."""
    found = (here.parameter for here in study.space.parameters)
    return {p.name: p for p in found if isinstance(p, Range)}


def _tests(kept: Kept | None) -> dict[int, Mapping[str, float]]:
    """Of trials of the search; those of a final stage's runs are told with its verdict."""
    return {k.trial: k.test for k in kept.best} if kept and kept.final is None else {}
