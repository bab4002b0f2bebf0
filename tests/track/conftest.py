"""Trials, metric logs and stores for the tests of tracking."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hpo import metric_log
from hpo.home import Home, StudyFolder
from hpo.records import Objective, Report, State, StudyCard, TrialRecord
from hpo.track import MlflowTracker
from hpo.track.server import free_port as find_port
from hpo.track.ui import Ui, serve

CARD = StudyCard(
    name="digits",
    id="5f3a",
    objectives=(Objective("val_error"),),
    file_text="name: digits\n",
    space={"optimizer": {"lr": {"low": 1e-4, "high": 0.1, "log": True}}},
    trials=20,
)


def make_trial(number: int, state: State = State.COMPLETE, steps: int = 3) -> TrialRecord:
    """A trial that reports `steps` times, a second apart; its error falls with the steps."""
    final = state is not State.RUNNING
    lr = 0.01 * (number + 1)
    return TrialRecord(
        number=number,
        state=state,
        config={
            "epochs": 3,
            "model": {"kind": "mlp", "widths": [8, 8]},
            "optimizer": {"lr": lr},
        },
        params={"optimizer.lr": lr},
        values=(val_error(number, steps),) if state is State.COMPLETE else (),
        metrics={"val_error": val_error(number, steps)} if state is State.COMPLETE else {},
        reason="" if state in (State.RUNNING, State.COMPLETE) else f"it was {state}",
        started=1000.0 + number,
        finished=1000.0 + number + steps if final else None,
        steps=steps,
    )


def val_error(number: int, step: int) -> float:
    return 1 / (1 + step) + abs(number - 3) / 100


def make_reports(number: int, steps: int = 3) -> list[Report]:
    return [
        Report(
            step,
            {"val_error": val_error(number, step), "train_loss": 2 / step},
            1000.0 + number + step,
        )
        for step in range(1, steps + 1)
    ]


@dataclass
class FakeStudy:
    """A record that grows, as a coordinator offers it to a publisher."""

    folder: StudyFolder
    log: list[TrialRecord] = field(default_factory=list)

    def add(self, *trials: TrialRecord) -> None:
        for trial in trials:
            for report in make_reports(trial.number, trial.steps):
                if report.step > len(metric_log.read(self.folder.metrics(trial.number))):
                    metric_log.append(self.folder.metrics(trial.number), report)
            self.log.append(trial)

    def changed(self, cursor: int) -> tuple[int, list[TrialRecord]]:
        return len(self.log), self.log[cursor:]


@dataclass
class Tools:
    card: StudyCard = CARD
    trial: Callable[..., TrialRecord] = make_trial
    reports: Callable[..., list[Report]] = make_reports
    val_error: Callable[[int, int], float] = val_error


@pytest.fixture(scope="session")
def made() -> Tools:
    return Tools()


@pytest.fixture
def study(tmp_path: Path) -> FakeStudy:
    return FakeStudy(StudyFolder(tmp_path / "studies" / "digits"))


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store made by the tracker itself, once: the tables take a second."""
    home = Home(tmp_path_factory.mktemp("template"))
    MlflowTracker(home.tracking_uri, "template", home.artifacts).start(CARD)
    return home.root / "mlflow.db"


@pytest.fixture(scope="session")
def make_home(empty_store: Path) -> Callable[[Path], Home]:
    def make(root: Path) -> Home:
        root.mkdir(parents=True, exist_ok=True)
        with (
            contextlib.closing(sqlite3.connect(empty_store)) as source,
            contextlib.closing(sqlite3.connect(root / "mlflow.db")) as target,
        ):
            source.backup(target)
            target.execute("PRAGMA journal_mode=WAL")
        return Home(root)

    return make


@pytest.fixture
def home(tmp_path: Path, make_home: Callable[[Path], Home]) -> Iterator[Home]:
    yield make_home(tmp_path / "home")
    shutil.rmtree(tmp_path / "home", ignore_errors=True)


@pytest.fixture
def free_port() -> int:
    return find_port()


@pytest.fixture(scope="session")
def server(
    tmp_path_factory: pytest.TempPathFactory, make_home: Callable[[Path], Home]
) -> Iterator[tuple[Ui, Home]]:
    """A server, and the home that it serves. Whoever shares it has an experiment of its own."""
    home = make_home(tmp_path_factory.mktemp("server"))
    with serve(home, port=find_port()) as ui:
        yield ui, home


@dataclass(frozen=True)
class Shown:
    """One run as a reader of the tracker finds it."""

    params: dict[str, str]
    history: dict[str, list[tuple[int, float]]]
    tags: dict[str, str]
    ended: bool
    status: str
    run_id: str


def read_mlflow(uri: str, experiment: str = "digits") -> tuple[list[Shown], dict[int, Shown]]:
    """The parents, and the children by number. Fails where a number has two runs."""
    from mlflow import MlflowClient
    from mlflow.entities import Run

    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    assert found is not None

    def shown(run: Run) -> Shown:
        history = {
            name: sorted(
                (m.step, m.value) for m in client.get_metric_history(run.info.run_id, name)
            )
            for name in run.data.metrics
        }
        status = run.info.status
        return Shown(
            run.data.params, history, run.data.tags, status != "RUNNING", status, run.info.run_id
        )

    runs = [shown(run) for run in client.search_runs([found.experiment_id])]
    parents = [run for run in runs if "hpo.study_id" in run.tags]
    children = [run for run in runs if "mlflow.parentRunId" in run.tags]
    by_number = {int(run.tags["hpo.trial"]): run for run in children}
    assert len(by_number) == len(children), "a trial has two runs"
    assert {run.tags["mlflow.parentRunId"] for run in children} <= {run.run_id for run in parents}
    return parents, by_number


@pytest.fixture(scope="session")
def read() -> Callable[..., tuple[list[Shown], dict[int, Shown]]]:
    return read_mlflow
