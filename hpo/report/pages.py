"""What a study shows of itself: a page in the tracker, and files beside the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from hpo.files import write_atomically
from hpo.records import TrialRecord
from hpo.report import plots
from hpo.report.kept import Kept
from hpo.report.summary import Summary
from hpo.report.words import yaml
from hpo.track import StudyPage


def study_page(summary: Summary, text: str, artifacts: Path | None = None) -> StudyPage:
    """What a tracker shows of the study.

    Args:
        text: the summary in Markdown.
        artifacts: a folder of files to show.
    """
    return StudyPage(
        description=text,
        curves={metric: curve[: summary.settled] for metric, curve in summary.curves.items()},
        best=summary.best,
        finished=summary.finished,
        spent=summary.spent,
        time=summary.newest,
        artifacts=artifacts,
    )


def write_report(
    trials: Sequence[TrialRecord],
    summary: Summary,
    text: str,
    kept: Kept | None,
    importances: Mapping[str, float],
    folder: Path,
) -> None:
    """Writes `summary.md`, the best config and the plots into `folder`, which is created.

    The best config is `best.yaml`; with several objectives, the Pareto set is `front.yaml`. Left
    out is what there is none of: a best trial, importances (fewer than two parameters, or too few
    trials).
    """
    write_atomically(folder / "summary.md", text)
    if len(summary.objectives) > 1:
        plots.pareto_front(trials, summary.objectives, folder / "pareto_front")
        if kept is not None:
            write_atomically(folder / "front.yaml", yaml(kept.listed()))
    elif kept is not None:
        write_atomically(folder / "best.yaml", yaml(kept.one().config))
    plots.optimization_history(trials, summary.objectives, folder / "optimization_history")
    if importances:
        plots.parameter_importance(importances, folder / "parameter_importance")
