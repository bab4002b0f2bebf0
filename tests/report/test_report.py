"""What is written beside a study's record and said of its failures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hpo import studyfile
from hpo.budget import Spending
from hpo.home import StudyFolder
from hpo.records import Objective, State, TrialRecord
from hpo.report import report
from hpo.report.kept import write_kept
from hpo.studyfile import Study

SPENT = Spending(10.0, 20.0, {State.COMPLETE: 15.0}, 20.0, 0.0)
SPACE = {"x": {"low": 0, "high": 1}}


def trial(
    number: int,
    *values: float,
    state: State = State.COMPLETE,
    reason: str = "",
    steps: int = 5,
) -> TrialRecord:
    config = {"x": number / 10}
    return TrialRecord(number, state, config, config, values, {}, reason, 1.0, 2.0, steps)


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    return StudyFolder(tmp_path / "studies" / "toy")


def load(write_study: Any, **changes: Any) -> Study:
    return studyfile.load(write_study(search={"sampler": "random", "trials": 8}, **changes))


def test_what_is_known_before_the_first_trial(write_study: Any, folder: StudyFolder) -> None:
    study = load(write_study)
    report.begin(study, folder)
    assert (folder.report / "study.yaml").read_text() == study.text
    assert json.loads((folder.report / "space.json").read_text()) == SPACE


def test_a_page_shows_what_was_spent_and_test_metrics_of_what_is_kept(
    write_study: Any, folder: StudyFolder
) -> None:
    study = load(write_study)
    trials = [trial(0, 0.5), trial(1, 0.4)]
    kept = report.as_kept(study, [trials[1]], finished=2, complete=True)
    tested = kept.one().model_copy(update={"test": {"test_loss": 0.45}})
    write_kept(kept.model_copy(update={"best": [tested]}), folder)
    page = report.page(study, folder, trials, SPENT)
    assert "**2 of 8 trials** in 10.0 s" in page.description
    assert "`test_loss` 0.45" in page.description
    assert (list(page.best), page.spent, page.artifacts) == ([trials[1]], SPENT, folder.report)
    better = report.page(study, folder, [*trials, trial(2, 0.1)], SPENT)
    assert "test_loss" not in better.description, "those are of another trial"


def test_what_is_kept_is_the_whole_set(write_study: Any) -> None:
    two = [{"metric": "loss"}, {"metric": "speed", "direction": "maximize"}]
    study = load(write_study, objective=two)
    kept = report.as_kept(study, [trial(0, 0.5, 9.0), trial(3, 0.1, 1.0)], 4, complete=False)
    assert kept.objectives == (Objective("loss"), Objective("speed", "maximize"))
    assert [(k.trial, k.values, k.config) for k in kept.best] == [
        (0, (0.5, 9.0), {"x": 0.0}),
        (3, (0.1, 1.0), {"x": 0.3}),
    ]
    assert (kept.study, kept.trials, kept.complete) == ("toy", 4, False)


def test_the_end_of_a_study_without_a_pruner(write_study: Any, folder: StudyFolder) -> None:
    study = load(write_study)
    trials = [trial(0, 0.5), trial(5, 0.4)]
    kept = report.as_kept(study, [trials[1]], 2, complete=True)
    report.end(study, folder, trials, kept, {}, {"x": 1.0}, SPENT, "budget.target: reached")
    text = (folder.report / "summary.md").read_text()
    assert "It ended by budget.target: reached." in text
    assert "## Spent" in text and "## Pruning" not in text
    assert (folder.report / "best.yaml").read_text() == "x: 0.5\n"
    assert (folder.report / "parameter_importance.png").exists()


def test_the_end_of_a_study_with_a_pruner_has_its_audit(
    write_study: Any, folder: StudyFolder
) -> None:
    study = load(write_study, pruner={"kind": "asha", "min_steps": 1, "reduction_factor": 2})
    trials = [trial(0, 0.1), trial(1, 0.9, state=State.PRUNED, steps=1)]
    curves = {0: {1: 1.0, 2: 0.5, 4: 0.2, 5: 0.1}, 1: {1: 0.9}}
    kept = report.as_kept(study, trials[:1], 2, complete=True)
    report.end(study, folder, trials, kept, curves, {}, SPENT, "")
    text = (folder.report / "summary.md").read_text()
    assert "1 trial pruned. That saved 4 steps, 40 % of the 10" in text
    assert "| 1 | 50 % | 2 | 1 of 1 (0) |" in text


def test_a_study_that_ended_without_a_complete_trial_is_reported_as_well(
    write_study: Any, folder: StudyFolder
) -> None:
    failed = [trial(0, state=State.FAILED, reason="ValueError: a bad day")]
    report.end(load(write_study), folder, failed, None, {}, {}, SPENT, "")
    assert "No trial is complete yet." in (folder.report / "summary.md").read_text()


FAILED = [
    trial(0, 0.5),
    trial(1, state=State.FAILED, reason="KeyError: 'x'"),
    trial(2, state=State.FAILED, reason="ValueError: a bad day"),
    trial(3, state=State.FAILED, reason="ValueError: a bad day"),
]


def test_nothing_completed_names_a_traceback_of_the_most_frequent_reason(
    folder: StudyFolder,
) -> None:
    for number in (1, 3):
        folder.traceback(number).parent.mkdir(parents=True)
        folder.traceback(number).write_text("Traceback ...")
    _, hint = report.nothing_completed(FAILED, folder)
    assert f"a traceback is in {folder.traceback(3)}; " in hint


def test_nothing_completed(folder: StudyFolder) -> None:
    message, hint = report.nothing_completed(FAILED[1:], folder)
    assert message == ("none of 3 trials completed; most often (2x) failed: ValueError: a bad day")
    assert hint.startswith("once mended") and str(folder.root) in hint
    assert "no trial was run" in report.nothing_completed([], folder)[0]
