"""A snapshot is read as it was written, and one that is not there is none."""

from __future__ import annotations

from pathlib import Path

from hpo import snapshot
from hpo.budget import Spending
from hpo.errors import StudyFailed
from hpo.home import StudyFolder
from hpo.progress import Progress
from hpo.records import State, TrialRecord


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    best = TrialRecord(
        number=3,
        config={"x": 0.5, "optimizer": {"kind": "sgd", "widths": [1, 2]}},
        params={"x": 0.5},
        reason="",
        state=State.COMPLETE,
        steps=4,
        values=(0.25,),
        metrics={"loss": 0.25, "other": float("inf")},
        started=1.0,
        finished=2.0,
    )
    progress = Progress(
        stage="search",
        total=None,
        counts={State.COMPLETE: 1, State.RUNNING: 2},
        best=(best,),
        started=1.5,
        finished_here=1,
        done=False,
        stopping=True,
        failure=None,
        spent=Spending(3.0, 4.0, {State.COMPLETE: 2.5}, 4.0, 0.0, {5: 1.0}),
        ended_by="",
    )
    snapshot.write(folder, progress, "MLflow is away")
    found = snapshot.read(folder)
    assert found is not None
    assert (found.progress, found.trouble) == (progress, "MLflow is away")


def test_a_failure_stays_with_who_runs_the_study(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    failed = Progress("search", 9, {}, (), 0.0, 0, False, True, StudyFailed("no"), Spending(), "")
    snapshot.write(folder, failed, None)
    found = snapshot.read(folder)
    assert found is not None and found.progress.failure is None


def test_none_is_none(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    assert snapshot.read(folder) is None
    folder.snapshot.write_text('{"taken": 1')
    assert snapshot.read(folder) is None
