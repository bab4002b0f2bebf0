from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from hpo.records import Objective, State, TrialRecord
from hpo.report.kept import Kept, KeptTrial
from hpo.report.pages import write_report
from hpo.report.plots import optimization_history, parameter_importance, pareto_front
from hpo.report.summary import summarize

ERROR = (Objective("val_error"),)
TWO = (Objective("val_error"), Objective("speed", "maximize"))
PNG = b"\x89PNG\r\n\x1a\n"


def trial(number: int, state: State, value: float | None) -> TrialRecord:
    end = None if state is State.RUNNING else 2.0
    values = () if value is None else (value,)
    return TrialRecord(number, state, {"lr": 1}, {"lr": 1}, values, {}, "why", 1.0, end, 3)


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


POINTS = [
    dataclasses.replace(trial(n, State.COMPLETE, 0.0), values=values)
    for n, values in enumerate([(0.5, 9.0), (0.1, 1.0), (0.5, 8.0), (0.6, 1.0)])
]


@pytest.mark.parametrize("trials", [[*POINTS, trial(9, State.FAILED, None)], POINTS[:1], []])
def test_front_of_any_trials(trials: list[TrialRecord], tmp_path: Path) -> None:
    png, html = pareto_front(trials, TWO, tmp_path / "front")
    assert png.read_bytes().startswith(PNG)
    text = html.read_text()
    assert "val_error (minimize)" in text and "speed (maximize)" in text
    assert ("Pareto set (2)" in text and "other complete (2)" in text) == (len(trials) > 1)


def test_the_front_is_that_of_all_objectives(tmp_path: Path) -> None:
    three = (*TWO, Objective("memory"))
    trials = [
        dataclasses.replace(POINTS[0], values=(0.5, 9.0, 3.0)),
        dataclasses.replace(POINTS[2], values=(0.6, 8.0, 1.0)),
    ]
    _, html = pareto_front(trials, three, tmp_path / "front")
    assert "Pareto set (2)" in html.read_text()


def written(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def kept(objectives: tuple[Objective, ...], *best: TrialRecord) -> Kept:
    chosen = [
        KeptTrial(trial=t.number, values=t.values, metrics={}, config=dict(t.config)) for t in best
    ]
    return Kept(
        study="toy",
        trials=8,
        complete=True,
        objectives=objectives,
        trainable="toys:train",
        folder=".",
        best=chosen,
    )


def test_the_report_folder(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    write_report(
        TRIALS, summarize(TRIALS, ERROR), "text", kept(ERROR, TRIALS[6]), {"lr": 1.0}, folder
    )
    assert written(folder) == [
        "best.yaml",
        "optimization_history.html",
        "optimization_history.png",
        "parameter_importance.html",
        "parameter_importance.png",
        "summary.md",
    ]
    assert (folder / "summary.md").read_text() == "text"
    assert (folder / "best.yaml").read_text() == "lr: 1\n"


def test_the_report_folder_of_several_objectives(tmp_path: Path) -> None:
    write_report(POINTS, summarize(POINTS, TWO), "text", kept(TWO, *POINTS[:2]), {}, tmp_path)
    assert written(tmp_path) == [
        "front.yaml",
        "optimization_history.html",
        "optimization_history.png",
        "pareto_front.html",
        "pareto_front.png",
        "summary.md",
    ]
    listed = YAML(typ="safe").load((tmp_path / "front.yaml").read_text())
    assert [(t["trial"], t["values"]) for t in listed] == [
        (0, {"val_error": 0.5, "speed": 9.0}),
        (1, {"val_error": 0.1, "speed": 1.0}),
    ]


def test_a_report_without_a_complete_trial(tmp_path: Path) -> None:
    trials = TRIALS[1:6]
    write_report(trials, summarize(trials, ERROR), "text", None, {}, tmp_path)
    assert "best.yaml" not in written(tmp_path) and "summary.md" in written(tmp_path)


def test_importing_reports_loads_no_plotting_library_and_no_tracker() -> None:
    code = (
        "import sys, hpo.report;"
        "sys.exit(bool({'mlflow', 'matplotlib', 'plotly', 'torch', 'optuna'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 0
