"""A study whose checkpoints are in a store."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from hpo import frozen, metric_log, studyfile
from hpo import trainable as trainables
from hpo.checkpoints import open_checkpoints, stored, transfer
from hpo.checkpoints import store as stores
from hpo.coordinator import Coordinator
from hpo.errors import StudyConflict, StudyFailed
from hpo.execute import execution, worker
from hpo.execute.setup import Setup
from hpo.home import Home
from hpo.records import State
from hpo.result import load_study
from hpo.stage import Search
from hpo.study import run
from hpo.studyfile import Study

TRIALS = {"sampler": "random", "trials": 2, "seed": 1}


@pytest.fixture
def store(tmp_path) -> Path:
    return tmp_path / "store"


def test_only_what_the_best_trial_left_stays(write_study, home, store):
    result = run(write_study(checkpoints=str(store)), inline=True, home=home)
    assert result.done and result.best is not None
    (kept,) = [path for path in store.rglob("*") if path.is_file()]
    assert kept.name == "state.json" and f"{result.best.number:06d}" in kept.parts
    local = frozen.open_checkpoints(home.study("toy")).local(result.best.number)
    assert json.loads((local / "state.json").read_text()) == {"step": 5}
    assert not list(home.study("toy").root.glob("trials/*/checkpoint"))


def test_a_trial_that_was_paused_goes_on_from_the_store(write_study, home, store, tmp_path):
    log = tmp_path / "log"
    study = write_study(
        checkpoints=str(store),
        space={"x": {"low": 0, "high": 1}, "log": str(log), "nap": 0.3},
        search=TRIALS,
    )

    interrupted = []

    def interrupt(progress, trouble):
        if not interrupted and len(metric_log.read(home.study("toy").metrics(0))) >= 2:
            interrupted.append(progress)
            os.kill(os.getpid(), signal.SIGINT)

    assert not run(study, inline=True, home=home, observer=interrupt).done
    assert [t.state for t in load_study("toy", home).trials] == [State.RUNNING]
    result = run(study, inline=True, home=home)
    begun = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["number"] for line in begun] == [0, 0, 1]
    assert begun[1]["from"] >= 2
    assert [t.state for t in result.trials] == [State.COMPLETE] * 2


def test_a_store_that_stays_away_stops_the_study_and_loses_nothing(
    write_study, home, store, monkeypatch
):
    monkeypatch.setattr(execution, "END_PATIENCE_S", 0.0)
    study = write_study(checkpoints=str(store), search=TRIALS)
    store.write_text("in the way")
    with pytest.raises(StudyFailed, match=r"checkpoint could not be saved to .*store"):
        run(study, inline=True, home=home)
    assert [t.state for t in load_study("toy", home).trials] == [State.RUNNING]
    store.unlink()
    result = run(study, inline=True, home=home)
    assert [t.state for t in result.trials] == [State.COMPLETE] * 2


class Beside:
    """A study at work on a machine that sees the store, and a worker where something is in the way
    of it; the coordinator is told of another worker, or is not."""

    def __init__(self, coordinator: Coordinator, study: Study, place: Path) -> None:
        self.coordinator, self.place = coordinator, place
        self.setup = Setup(
            trainable=study.file.trainable,
            folder=study.folder,
            study=coordinator.folder,
            checkpoints=open_checkpoints(str(place), coordinator.folder, "toy"),
        )
        place.write_text("in the way")

    def work(self) -> None:
        trainable = trainables.load(self.setup.trainable, self.setup.folder)
        worker.work(self.setup, trainable, self.coordinator, "lost")


@pytest.fixture
def beside(write_study, home, store, tmp_path, monkeypatch):
    monkeypatch.setattr(execution, "END_PATIENCE_S", 0.0)
    monkeypatch.setattr(worker, "STORE_LOOK_S", 0.01)
    monkeypatch.setattr(stores, "PATIENCE_S", 0.0)
    study = studyfile.load(write_study(checkpoints=str(store), search=TRIALS))
    frozen.freeze(study, home)
    coordinator = Coordinator(Search(home.study("toy")))
    yield Beside(coordinator, study, tmp_path / "elsewhere")
    coordinator.close()


def test_a_node_without_the_store_gives_its_trial_back_and_waits(beside):
    beside.coordinator.began("well", "node")
    told = []
    lost = beside.coordinator.store_lost

    def store_lost(name, error):
        told.append((beside.coordinator.work_left(), error.message))
        goes_on = lost(name, error)
        assert beside.coordinator.next_trial("well").number == 0, "it is there for others"
        beside.coordinator.worker_ended("well", died=False)
        beside.coordinator.began("well", "node")
        beside.place.unlink()
        return goes_on

    beside.coordinator.store_lost = store_lost
    beside.work()
    assert len(told) == 1 and "could not be saved" in told[0][1]
    progress = beside.coordinator.progress()
    assert progress.failure is None and progress.counts == {State.COMPLETE: 2}


def test_a_study_stops_when_no_worker_is_left_that_can_use_the_store(beside):
    beside.work()
    failure = beside.coordinator.progress().failure
    assert isinstance(failure, StudyFailed) and "could not be saved" in failure.message


def test_a_study_stops_when_whoever_has_the_record_cannot_use_the_store(beside, store):
    beside.coordinator.began("well", "node")
    store.write_text("in the way")
    beside.work()
    failure = beside.coordinator.progress().failure
    assert isinstance(failure, StudyFailed) and f"{store}" in failure.message


def test_a_trial_whose_checkpoint_nobody_can_save_is_given_up(beside, monkeypatch):
    beside.coordinator.began("well", "node")
    beside.place.unlink()
    monkeypatch.setattr(transfer, "MAX_BYTES", 5)
    beside.work()
    assert beside.coordinator.progress().failure is None
    trials = beside.coordinator.changes(0)[1]
    assert [trial.state for trial in trials] == [State.FAILED] * 2
    assert "could not use the store" in trials[0].reason
    assert "a checkpoint must have at most 5 bytes, got 11" in trials[0].reason


def test_a_worker_that_waits_ends_with_the_study(beside):
    beside.coordinator.began("well", "node")
    lost = beside.coordinator.store_lost
    beside.coordinator.store_lost = lambda *said: (lost(*said), beside.coordinator.stop())[0]
    beside.work()
    assert beside.coordinator.progress().failure is None
    assert not any(t.state is State.COMPLETE for t in beside.coordinator.changes(0)[1])


def test_a_running_trial_saves_now_and_then(write_study, home, store, monkeypatch):
    monkeypatch.setattr(stored, "SAVE_S", 0.0)
    monkeypatch.setattr(stored, "SAVE_SHARE", float("inf"))
    notes = []
    note = stored.Stored.note
    monkeypatch.setattr(
        stored.Stored, "note", lambda self, n, saved: (notes.append(n), note(self, n, saved))
    )
    run(write_study(checkpoints=str(store), search=TRIALS), inline=True, home=home)
    assert notes == [0] * 5 + [1] * 5


def test_the_place_stays_as_long_as_there_are_results(write_study, home, store, tmp_path):
    run(write_study(checkpoints=str(store)), inline=True, home=home)
    with pytest.raises(StudyConflict, match=r"checkpoints: "):
        run(write_study(checkpoints=str(tmp_path / "elsewhere")), inline=True, home=home)
    assert run(write_study(), inline=True, home=home).done, "left open, it is as before"


def test_what_a_service_says_counts_where_the_study_file_leaves_it_open(
    write_study, home, store, tmp_path
):
    def place(path: Path, given: str) -> str:
        frozen.freeze(studyfile.load(path), home, checkpoints=given)
        return frozen.settings(home.study("toy")).checkpoints

    assert place(write_study(), "default") == "default"
    assert place(write_study(), str(store)) == str(store), "nothing was run yet"
    assert place(write_study(checkpoints=str(tmp_path)), str(store)) == str(tmp_path)
    run(write_study(), inline=True, home=home)
    assert place(write_study(), str(store)) == "default"


def test_a_study_made_anew_leaves_nothing_of_the_one_before(write_study, home: Home, store):
    first = write_study(checkpoints=str(store), search=TRIALS)
    run(first, inline=True, home=home)
    frozen.open_checkpoints(home.study("toy")).clear()
    assert not [path for path in store.rglob("*") if path.is_file()]
