"""Studies on a service with two nodes, an S3 store, and PostgreSQL."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

sys.path.insert(1, str(Path(__file__).parent))

from machines import HIDES, ROOT, Cluster, Machine, cluster, notes, until

from hpo import metric_log, snapshot
from hpo.records import State
from hpo.result import load_study
from hpo.service.options import Given
from hpo.service.queue import Place
from hpo.service.state import ServiceFolder

# Every loopback address but 127.0.0.1 is to Ray an address like any other, which nodes may join.
HOST = "127.0.0.2"

PASSWORD = "a password for others"
"""Of MLflow's user "admin", since others may join."""

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def service(tmp_path_factory, postgres, s3) -> Iterator[Cluster]:
    """One for all of these tests: MLflow's runs are in PostgreSQL, all files in S3."""
    postgres.create("mlflow")
    given = Given(
        studies=1,
        host=HOST,
        store=postgres.url_of("mlflow"),
        artifacts=s3.bucket(),
        password=PASSWORD,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        with cluster(tmp_path_factory.mktemp("cluster"), given) as made:
            yield made


@pytest.fixture(scope="module")
def machine(service) -> Machine:
    joined = service.add()
    until(lambda: "Ray runtime started" in (joined.folder / "log").read_text(), service.said)
    return joined


@pytest.fixture
def log(service, request) -> Path:
    """Where the trials of a study write down where they run."""
    return service.folder / f"{request.node.name}.log"


@pytest.fixture
def write(service, log, request) -> Write:
    """Writes a study in a folder that only the head sees."""

    def write(name: str, steps: int, nap: float, trials: int, **changes: Any) -> Path:
        folder = service.head / name
        folder.mkdir()
        shutil.copy(Path(__file__).parent / "wandering.py", folder)
        (folder / "beside.txt").write_text("shipped")
        space = {"x": {"low": 0, "high": 1}, "nap": nap, "steps": steps, "log": str(log)}
        study = {
            "name": name,
            "trainable": "wandering:train",
            "space": space,
            "objective": {"metric": "loss"},
            "search": {"sampler": "random", "trials": trials},
            "tracking": {"experiment": name},
            **changes,
        }
        path = folder / f"{name}.yaml"
        path.write_text(json.dumps(study))
        return path

    return write


def whole(service: Cluster, name: str, steps: int, trials: int) -> None:
    """Nothing of a study is lost, and nothing is there twice."""
    entry = service.wait(name)
    assert (entry.place, entry.failure) == (Place.ENDED, ""), service.said()
    result = load_study(name, service.home)
    assert [trial.number for trial in result.trials] == list(range(trials))
    assert {trial.state for trial in result.trials} == {State.COMPLETE}
    assert [trial.value for trial in result.trials] == [t.config["x"] for t in result.trials]
    folder = service.home.study(name)
    for number in range(trials):
        reported = metric_log.read(folder.metrics(number))
        assert [report.step for report in reported] == list(range(1, steps + 1))


def test_a_study_waits_for_a_node_that_has_room(service, write, log, request):
    path = write("early", steps=2, nap=0.2, trials=2, resources={"gpus": 1})
    service.submit(path)
    said = service.home.study("early").log
    until(lambda: said.exists() and "waiting for room" in said.read_text(), service.said)
    machine = request.getfixturevalue("machine")
    whole(service, "early", steps=2, trials=2)
    assert [note["home"] for note in notes(log)] == [str(machine.folder / "home")] * 2


def test_checkpoints_that_only_the_head_sees_are_refused(service, machine, write):
    file = ServiceFolder.of(service.home)
    options = service.service.options.model_copy(update={"artifacts": None})
    file.write(service.service.model_copy(update={"options": options}))
    try:
        service.submit(write("local", steps=1, nap=0, trials=1))
    finally:
        file.write(service.service)
    entry = service.wait("local")
    assert "workers would run on several nodes" in entry.failure
    assert "checkpoints: s3://" in entry.failure and "hpo up --artifacts" in entry.failure
    assert load_study("local", service.home).trials == []


@pytest.mark.skipif(not HIDES, reason="this user may not make mount namespaces")
def test_a_folder_that_is_not_shared_is_refused(service, machine, write):
    path = write("unshared", steps=1, nap=0, trials=1, checkpoints=str(service.head / "shared"))
    service.submit(path)
    entry = service.wait("unshared")
    assert "the node 127.0.0.2" in entry.failure
    assert "cannot use the store for checkpoints: not there" in entry.failure


def test_a_node_vanishes_and_nothing_is_lost(service, machine, write, log):
    steps, trials = 14, 5
    service.submit(write("wander", steps=steps, nap=1.0, trials=trials))
    folder = service.home.study("wander")

    def there() -> list[dict[str, Any]]:
        return [note for note in notes(log) if note["home"] == str(machine.folder / "home")]

    def saved() -> bool:
        return any((folder.trial(n["number"]) / "checkpoint.json").exists() for n in there())

    def all_at_work() -> bool:
        seen = snapshot.read(folder)
        at_work = None if seen is None else (seen.progress.nodes, seen.progress.workers)
        return at_work == (2, (psutil.cpu_count() or 1) + 1)

    until(all_at_work, service.said)
    until(saved, service.said)
    (met,) = there()
    machine.vanish()
    whole(service, "wander", steps, trials)

    again = [note for note in notes(log) if note["number"] == met["number"]]
    assert [note["node"] == met["node"] for note in again] == [True, False]
    assert again[1]["from"] > 1, "it went on from its checkpoint"
    assert len(notes(log)) == trials + 1, "no other trial was run twice"
    assert {note["shipped"] for note in notes(log)} == {"shipped"}
    assert str(machine.folder) in met["checkpoint"]
    assert not (machine.folder / "home").exists()
    output = folder.output(met["number"]).read_text().splitlines()
    assert output[0] == f"trial {met['number']} begins at 0"
    assert output[-1] == f"trial {met['number']} begins at {again[1]['from']}"


def test_record_and_tracker_in_postgresql_and_a_store_that_is_away_for_a_while(
    service, write, log, s3, postgres, monkeypatch
):
    from mlflow import MlflowClient

    postgres.create("record")
    path = write("durable", steps=3, nap=0.2, trials=6, storage=postgres.url_of("record"))
    service.submit(path)
    until(lambda: len(notes(log)) >= 3, service.said)
    folder = service.home.study("durable")

    def wait_for_the_store() -> bool:
        """Whether trials run that have nothing left to do but to save what they came to."""
        trials = load_study("durable", service.home).trials
        running = [trial.number for trial in trials if trial.state is State.RUNNING]
        said = [metric_log.read(folder.metrics(number)) for number in running]
        return bool(running) and all(reports and reports[-1].step == 3 for reports in said)

    s3.away()
    try:
        until(wait_for_the_store, service.said)
    finally:
        s3.back()
    whole(service, "durable", steps=3, trials=6)
    assert not service.home.study("durable").journal.exists()

    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    client = MlflowClient(service.tracking)
    experiment = client.get_experiment_by_name("durable")
    assert experiment is not None

    def shown() -> list[tuple[int, str]]:
        runs = client.search_runs([experiment.experiment_id], "tags.hpo.trial != ''")
        return sorted((int(run.data.tags["hpo.trial"]), run.info.status) for run in runs)

    # The tracker follows the record at its own pace.
    until(lambda: shown() == [(number, "FINISHED") for number in range(6)], lambda: f"{shown()}")
