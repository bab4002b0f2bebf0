"""What only a real MLflow store can show: its file, its statuses, its silence, its speed."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hpo.budget import Spending
from hpo.home import Home
from hpo.records import State
from hpo.track import Ending, MlflowTracker, StudyPage, TrialPage, sqlite
from hpo.track.mlflow import ENVIRONMENT

START = """
import pathlib, sys
from hpo.home import Home
from hpo.records import Objective, StudyCard
from hpo.track import MlflowTracker, TrackingSettings, open_tracker
home = Home(pathlib.Path(sys.argv[1]))
card = StudyCard(sys.argv[2], sys.argv[2], (Objective("loss"),), "", {}, None)
open_tracker(TrackingSettings(), home, sys.argv[2]).start(card)
"""


@pytest.fixture
def tracker(home: Home, made: Any) -> MlflowTracker:
    tracker = MlflowTracker(home.tracking_uri, "digits", home.artifacts)
    tracker.start(made.card)
    return tracker


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (State.RUNNING, "RUNNING"),
        (State.COMPLETE, "FINISHED"),
        (State.PRUNED, "FINISHED"),
        (State.DIVERGED, "FAILED"),
        (State.OUT_OF_MEMORY, "FAILED"),
        (State.FAILED, "FAILED"),
    ],
)
def test_states_in_mlflows_words(
    tracker: MlflowTracker, home: Home, made: Any, read: Any, state: State, status: str
) -> None:
    tracker.publish(TrialPage(made.trial(0, state), made.reports(0)))
    assert read(home.tracking_uri)[1][0].status == status


def test_times_are_the_records(tracker: MlflowTracker, home: Home, made: Any, read: Any) -> None:
    from mlflow import MlflowClient

    tracker.publish(TrialPage(made.trial(0), made.reports(0)))
    client = MlflowClient(home.tracking_uri)
    run_id = read(home.tracking_uri)[1][0].run_id
    run = client.get_run(run_id)
    assert (run.info.start_time, run.info.end_time) == (1_000_000, 1_003_000)
    history = client.get_metric_history(run_id, "val_error")
    assert sorted(metric.timestamp for metric in history) == [1_001_000, 1_002_000, 1_003_000]


def test_a_clock_that_was_set_back_ends_no_run_before_its_start(
    tracker: MlflowTracker, home: Home, made: Any, read: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    back = dataclasses.replace(made.trial(0), started=1000.0, finished=10.0)
    tracker.publish(TrialPage(back, made.reports(0)))
    monkeypatch.setattr("hpo.track.mlflow.time.time", lambda: 10.0)
    tracker.finish(Ending.DONE)
    parents, children = read(home.tracking_uri)
    client = MlflowClient(home.tracking_uri)
    for run_id in (parents[0].run_id, children[0].run_id):
        info = client.get_run(run_id).info
        assert info.end_time == info.start_time
    assert children[0].history["val_error"] == [(s, made.val_error(0, s)) for s in (1, 2, 3)]


def test_the_latest_of_what_was_spent_is_the_largest_step_whatever_the_clock_says(
    tracker: MlflowTracker, home: Home, read: Any
) -> None:
    from mlflow import MlflowClient

    before = Spending(100.0, 100.0, {State.RUNNING: 90.0})
    after = Spending(200.0, 200.0, {State.COMPLETE: 180.0})
    tracker.study_page(StudyPage("", spent=before, time=5000.0))
    tracker.study_page(StudyPage("", spent=after, time=1000.0))
    run = MlflowClient(home.tracking_uri).get_run(read(home.tracking_uri)[0][0].run_id)
    assert run.data.metrics["spent_wall_hours"] == 200 / 3600
    assert run.data.metrics["spent_running_hours"] == 0.0


def test_what_the_user_has_set_for_mlflow_stays(
    home: Home, made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    MlflowTracker(home.tracking_uri, "digits", home.artifacts).start(made.card)
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"


def test_artifacts_lie_in_the_home(
    tracker: MlflowTracker, home: Home, made: Any, tmp_path: Path
) -> None:
    tracker.publish(TrialPage(made.trial(0, State.FAILED), traceback="boom"))
    report = tmp_path / "report"
    report.mkdir()
    (report / "plot.html").write_text("<p>")
    tracker.study_page(StudyPage("", artifacts=report))
    files = sorted(path.name for path in home.artifacts.rglob("*") if path.is_file())
    assert files == ["plot.html", "space.json", "study.yaml", "traceback.txt"]


def test_a_run_deleted_by_hand_is_noticed(
    tracker: MlflowTracker, home: Home, made: Any, read: Any
) -> None:
    from mlflow import MlflowClient

    parents, _ = read(home.tracking_uri)
    assert tracker.present()
    MlflowClient(home.tracking_uri).delete_run(parents[0].run_id)
    assert not tracker.present()
    tracker.start(made.card)
    assert tracker.present()


def test_an_experiment_deleted_by_hand_comes_back(
    tracker: MlflowTracker, home: Home, made: Any, read: Any
) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(home.tracking_uri)
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    client.delete_experiment(experiment.experiment_id)
    tracker.start(made.card)
    assert len(read(home.tracking_uri)[0]) == 1


def test_a_second_child_left_by_a_lost_answer_is_removed(
    tracker: MlflowTracker, home: Home, made: Any, read: Any
) -> None:
    from mlflow import MlflowClient

    tracker.publish(TrialPage(made.trial(0), made.reports(0)))
    client = MlflowClient(home.tracking_uri)
    run = client.get_run(read(home.tracking_uri)[1][0].run_id)
    client.create_run(run.info.experiment_id, tags=run.data.tags)
    assert tracker.start(made.card) == {0}
    assert sorted(read(home.tracking_uri)[1]) == [0]


def test_two_studies_started_at_once_in_an_empty_home_make_one_store_in_silence(
    tmp_path: Path,
) -> None:
    root = Path(__file__).parents[2]
    home = Home(tmp_path / "home")
    starts = [
        subprocess.Popen(
            [sys.executable, "-c", START, str(home.root), name],
            env={**os.environ, "PYTHONPATH": str(root)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name in ("one", "two")
    ]
    assert [start.communicate()[0] for start in starts] == ["", ""]
    assert [start.returncode for start in starts] == [0, 0]
    with contextlib.closing(sqlite3.connect(home.root / "mlflow.db")) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        names = {name for (name,) in database.execute("SELECT name FROM experiments")}
    assert names == {"Default", "one", "two"}


def test_a_start_that_is_killed_leaves_no_half_made_store(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    command = [sys.executable, "-c", START, str(tmp_path), "digits"]
    (tmp_path / "mlflow.db.new").write_text("a start before was killed, too")
    process = subprocess.Popen(command)
    while not database.exists():
        assert process.poll() is None
        time.sleep(0.001)
    process.kill()
    process.wait()
    with contextlib.closing(sqlite3.connect(database)) as store:
        assert store.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
    subprocess.run(command, check=True)


def test_the_users_own_mlflow_is_left_alone(tracker: MlflowTracker, made: Any) -> None:
    import mlflow
    from mlflow.utils.logging_utils import should_suppress_logs_in_thread

    before = mlflow.get_tracking_uri()
    tracker.publish(TrialPage(made.trial(0), made.reports(0)))
    assert mlflow.active_run() is None
    assert mlflow.get_tracking_uri() == before
    assert should_suppress_logs_in_thread.get() is False


@pytest.mark.parametrize(("mode", "synchronous"), [("wal", 1), ("delete", 2)])
def test_only_a_file_in_wal_mode_is_not_waited_for_at_each_commit(
    tmp_path: Path, mode: str, synchronous: int
) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        connection.execute(f"PRAGMA journal_mode={mode}")
        sqlite.relax(connection, None)
        assert connection.execute("PRAGMA synchronous").fetchone() == (synchronous,)


def test_every_connection_of_the_store_is_relaxed(tracker: MlflowTracker, home: Home) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store: Any = SqlAlchemyStore
    engine = store(home.tracking_uri, str(home.artifacts)).engine
    with engine.connect() as one, engine.connect() as two:
        for connection in (one, two):
            assert connection.exec_driver_sql("PRAGMA synchronous").fetchone() == (1,)


def test_a_hundred_trials_take_seconds(tracker: MlflowTracker, made: Any) -> None:
    before = time.monotonic()
    for number in range(100):
        tracker.publish(TrialPage(made.trial(number, steps=5), made.reports(number, 5)))
    seconds = time.monotonic() - before
    assert seconds < 10, "1.5 s on a free core of 2026; this bound is for a busy one"


def test_importing_tracking_does_not_import_mlflow() -> None:
    root = Path(__file__).parents[2]
    code = "import sys, hpo.track; sys.exit('mlflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(root)})
    assert done.returncode == 0
