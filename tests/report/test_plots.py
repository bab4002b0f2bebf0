from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hpo.records import Objective, State, TrialRecord
from hpo.report.pages import write_report
from hpo.report.plots import optimization_history, parameter_importance

ERROR = Objective("val_error")
PNG = b"\x89PNG\r\n\x1a\n"


def trial(number: int, state: State, value: float | None) -> TrialRecord:
    end = None if state is State.RUNNING else 2.0
    return TrialRecord(number, state, {"lr": 1}, {"lr": 1}, value, {}, "why", 1.0, end, 3)


TRIALS = [
    trial(0, State.COMPLETE, 0.5),
    trial(1, State.PRUNED, 0.6),
    trial(2, State.PRUNED, None),
    trial(3, State.DIVERGED, None),
    trial(4, State.OUT_OF_MEMORY, None),
    trial(5, State.FAILED, None),
    trial(6, State.COMPLETE, 0.4),
    trial(7, State.RUNNING, None),
]


@pytest.mark.parametrize("trials", [TRIALS, TRIALS[3:6], TRIALS[:1], []])
def test_history_of_any_trials(trials: list[TrialRecord], tmp_path: Path) -> None:
    png, html = optimization_history(trials, ERROR, tmp_path / "new" / "history")
    assert (png.name, html.name) == ("history.png", "history.html")
    assert png.read_bytes().startswith(PNG)
    assert "val_error (minimize)" in html.read_text()


def test_every_state_has_its_own_mark_and_count(tmp_path: Path) -> None:
    _, html = optimization_history(TRIALS, ERROR, tmp_path / "history")
    text = html.read_text()
    for label in (
        "complete (2)",
        "pruned (1)",
        "pruned, no value (1)",
        "diverged, no value (1)",
        "out of memory, no value (1)",
        "failed, no value (1)",
        "best so far (0.4)",
    ):
        assert label in text


def test_pages_need_no_network(tmp_path: Path) -> None:
    _, html = parameter_importance({"lr": 0.7, "momentum": 0.3}, tmp_path / "importance")
    head = html.read_text().partition("</head>")[0]
    assert "src=" not in head.replace('src="data:', "")


def test_the_largest_importances_are_shown(tmp_path: Path) -> None:
    many = {f"p{i:02d}": i / 400 for i in range(20)}
    png, html = parameter_importance(many, tmp_path / "importance")
    assert png.read_bytes().startswith(PNG)
    body = html.read_text().rpartition("Plotly.newPlot(")[2]
    assert "p19" in body
    assert "p04" not in body


def test_the_report_folder(tmp_path: Path) -> None:
    summary = write_report(TRIALS, ERROR, tmp_path / "report", total=8, importances={"lr": 1.0})
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == [
        "best.yaml",
        "optimization_history.html",
        "optimization_history.png",
        "parameter_importance.html",
        "parameter_importance.png",
        "summary.md",
    ]
    assert summary.finished == 7
    assert (tmp_path / "report" / "best.yaml").read_text() == "lr: 1\n"


def test_importing_reports_loads_no_plotting_library_and_no_tracker() -> None:
    code = (
        "import sys, hpo.report;"
        "sys.exit(bool({'mlflow', 'matplotlib', 'plotly', 'torch', 'optuna'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 0
