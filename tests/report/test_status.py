"""What the terminal says of a study."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rich.console import Console, RenderableType

from hpo.budget import Spending
from hpo.errors import InputError
from hpo.progress import Progress
from hpo.records import Objective, State, TrialRecord, best_trials
from hpo.report import status
from hpo.report.kept import Kept, KeptTrial
from hpo.snapshot import Snapshot
from hpo.standing import Standing, StudyState

LOSS = (Objective("loss"),)
TWO = (Objective("loss"), Objective("speed", "maximize"))
SPENT = Spending(75.0, 100.0, {State.COMPLETE: 60.0, State.PRUNED: 15.0}, 3600.0, 1800.0)


def said(parts: Iterable[RenderableType]) -> str:
    text = io.StringIO()
    console = Console(file=text, width=160, soft_wrap=True, highlight=False)
    for part in parts:
        console.print(part)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def trial(number: int, *values: float, state: State = State.COMPLETE) -> TrialRecord:
    config = {"x": number / 10}
    return TrialRecord(number, state, config, config, values, {}, "", 1.0, 2.0, 5)


def study(*trials: TrialRecord, objectives: Any = LOSS, test: Any = None, **changes: Any) -> Any:
    """As `hpo.result` hands it over."""
    front = best_trials(trials, objectives)
    chosen = [
        KeptTrial(trial=t.number, values=t.values, metrics={}, test=test or {}, config={})
        for t in front
    ]
    kept = None
    if chosen:
        kept = Kept(
            study="toy",
            trials=len(trials),
            complete=True,
            objectives=objectives,
            trainable="toys:train",
            folder=".",
            best=chosen,
        )
    values = {
        "name": "toy",
        "done": True,
        "running": False,
        "total": 8,
        "objectives": objectives,
        "front": front,
        "best": front[0] if front and len(objectives) == 1 else None,
        "kept": kept,
        "trials": list(trials),
        "runs": [],
        "spent": SPENT,
        "ended_by": "",
        "folder": Path.cwd() / "somewhere",
        "url": "hpo ui",
        "trouble": None,
    }
    return SimpleNamespace(**(values | changes))


def test_the_end_of_a_run() -> None:
    again = dataclasses.replace(trial(2, 0.5), same_as=0, draws=4)
    ended = study(trial(0, 0.5), trial(1, 0.4), again, test={"test_loss": 0.45})
    assert said(status.result(ended)) == (
        "study toy is complete: 3 trials (3 complete) over 1 min 15 s;"
        " 1 answered from the record, their config had run before;"
        " 3 draws that the config model rejected\n"
        "best trial 1: loss 0.4\n"
        "on the test set: test_loss 0.45\n"
        "x: 0.1\n"
        "spent on         time        share\n"
        "wall time        1 min 15 s\n"
        "workers' time    1 min 40 s\n"
        "complete trials  1 min 0 s   60 %\n"
        "pruned trials    15.0 s      15 %\n"
        "idle             25.0 s      25 %\n"
        "CPU-hours        1\n"
        "GPU-hours        0.5\n"
        "files: somewhere\n"
        "look at it: hpo ui\n"
        "use it: hpo best toy"
    )


def test_a_front_is_a_table_by_the_first_objective() -> None:
    ended = study(trial(0, 0.5, 9.0), trial(1, 0.4, 1.0), trial(2, 0.5, 8.0), objectives=TWO)
    text = said(status.result(ended))
    rows = text.splitlines()
    start = rows.index("Pareto set: 2 trials")
    assert [row.split() for row in rows[start + 1 : start + 4]] == [
        ["trial", "loss", "speed", "parameters"],
        ["1", "0.4", "1", "x=0.1"],
        ["0", "0.5", "9", "x=0"],
    ]
    assert "best trial" not in text and "use it: hpo best toy" in text


def test_why_it_ended_and_what_the_tracker_lacks() -> None:
    text = said(
        status.result(study(trial(0, 0.5), ended_by="budget.target: 0.5", trouble="no answer"))
    )
    assert "it ended by budget.target: 0.5" in text
    assert "the tracker is behind (no answer); hpo sync toy publishes the rest" in text


def test_a_study_that_is_stopped_before_a_trial_is_complete() -> None:
    stopped = study(done=False, spent=Spending())
    assert said(status.status(stopped)) == (
        "study toy: stopped; no trials\nno trial is complete yet\nfiles: somewhere\n"
        "look at it: hpo ui"
    )


def test_the_commonest_failures_are_shown() -> None:
    failed = [
        dataclasses.replace(trial(n, state=State.FAILED), reason="KeyError") for n in range(3)
    ]
    text = said(status.status(study(*failed)))
    assert "failed 3x: KeyError" in text


def standing(state: str, why: str, page: str = "", snapshot: Snapshot | None = None) -> Standing:
    return Standing(StudyState(state), why, page, snapshot)


def test_a_study_at_work_shows_its_pace_and_its_page() -> None:
    progress = Progress(
        stage="search",
        total=8,
        counts={State.COMPLETE: 2},
        best=(),
        started=100.0,
        finished_here=2,
        done=False,
        stopping=False,
        failure=None,
        spent=Spending(),
        ended_by="",
        workers=3,
        nodes=2,
        gpus=1.5,
    )
    seen = Snapshot(progress=progress, trouble="MLflow is away", taken=130.0)
    stands = standing("running", "", snapshot=seen, page="http://here/#/experiments/1")
    text = said(status.status(study(trial(0, 0.5), trial(1, 0.7), done=False), stands))
    assert text.startswith("study toy: running; 2 trials (2 complete)")
    assert "2/8 done (2 complete); 4 trials/min, 1 min 30 s left\n" in text
    assert "3 workers on 2 nodes, 1.5 GPUs\n" in text
    assert "the tracker is behind: MLflow is away\n" in text
    assert text.endswith("look at it: http://here/#/experiments/1")
    row = said([status.studies([("toy", study(done=False), stands)])]).splitlines()[1]
    assert row.split()[-4:] == ["1", "min", "30", "s"]


def test_the_list_of_studies() -> None:
    rows = [
        ("toy", study(trial(0, 0.5)), None),
        (
            "two",
            study(trial(0, 0.5, 9.0), trial(1, 0.4, 1.0), objectives=TWO, done=False, running=True),
            None,
        ),
        ("none", study(total=None, done=False), None),
        ("next", study(done=False), standing("queued", "place 1 of 2")),
        ("lost", study(trial(0, 0.5), done=False), standing("failed", "no disk")),
        ("broken", InputError("spec.json is [damaged]"), None),
    ]
    table = said([status.studies(rows)]).splitlines()
    assert [row.split() for row in table[1:]] == [
        ["toy", "finished", "1/8", "loss", "0.5", "0"],
        ["two", "running", "2/8", "2", "trials", "in", "the", "Pareto", "set"],
        ["none", "stopped", "0"],
        ["next", "queued,", "place", "1", "of", "2", "0/8"],
        ["lost", "failed", "1/8", "loss", "0.5", "0"],
        ["broken", "unreadable", "spec.json", "is", "[damaged]"],
    ]
