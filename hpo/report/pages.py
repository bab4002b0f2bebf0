"""What a study shows of itself: a page in the tracker, and files beside the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from hpo.files import write_atomically
from hpo.records import Objective, TrialRecord
from hpo.report.plots import optimization_history, parameter_importance
from hpo.report.summary import Summary, markdown, summarize, yaml
from hpo.track import StudyPage


def study_page(
    trials: Sequence[TrialRecord],
    objective: Objective,
    *,
    total: int | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    test: Mapping[str, float] | None = None,
    artifacts: Path | None = None,
) -> StudyPage:
    """What a tracker shows of the study; see `markdown` for `total`, `ranges` and `test`."""
    summary = summarize(trials, objective)
    return StudyPage(
        description=markdown(summary, total=total, ranges=ranges, test=test),
        curve=summary.curve[: summary.settled],
        best=summary.best,
        finished=summary.finished,
        artifacts=artifacts,
    )


def write_report(
    trials: Sequence[TrialRecord],
    objective: Objective,
    folder: Path,
    *,
    total: int | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    test: Mapping[str, float] | None = None,
    importances: Mapping[str, float] | None = None,
) -> Summary:
    """Writes `summary.md`, `best.yaml` and the plots into `folder`, which is created.

    The best config is left out as long as no trial is complete, the importances where there are
    none (fewer than two parameters, or too few trials).
    """
    folder.mkdir(parents=True, exist_ok=True)
    summary = summarize(trials, objective)
    text = markdown(summary, total=total, ranges=ranges, test=test)
    write_atomically(folder / "summary.md", text)
    if summary.best is not None:
        write_atomically(folder / "best.yaml", yaml(summary.best.config))
    optimization_history(trials, objective, folder / "optimization_history")
    if importances:
        parameter_importance(importances, folder / "parameter_importance")
    return summary
