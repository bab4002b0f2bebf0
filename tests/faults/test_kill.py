"""SIGKILL at a random moment, then the study is run again: nothing lost, nothing twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from toys import lines

from hpo.errors import InputError
from hpo.home import Home
from hpo.records import State
from hpo.study import StudyResult, load_study

TRIALS = 24


def hpo(*args: str, home: Home) -> subprocess.Popen[str]:
    """Starts the command as a user would, as the leader of a process group of its own."""
    return subprocess.Popen(
        [Path(sys.executable).parent / "hpo", *args],
        env={**os.environ, "HPO_HOME": str(home.root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finished(home: Home, name: str = "toy") -> int:
    try:
        return sum(t.state is not State.RUNNING for t in load_study(name, home).trials)
    except (InputError, KeyError):  # not there yet: no spec, or a record without its study
        return 0


def wait_until_finished(home: Home, count: int) -> None:
    deadline = time.monotonic() + 120
    while finished(home) < count:
        assert time.monotonic() < deadline, "the study does not get on"
        time.sleep(0.1)


def published(home: Home) -> Counter[int]:
    """How many child runs each trial has in MLflow."""
    from mlflow import MlflowClient

    client = MlflowClient(home.tracking_uri)
    ids = [e.experiment_id for e in client.search_experiments()]
    runs = client.search_runs(ids, "tags.hpo.trial != ''", max_results=1000)
    assert {run.info.status for run in runs} == {"FINISHED"}
    return Counter(int(run.data.tags["hpo.trial"]) for run in runs)


def check_whole(result: StudyResult, log: Path, reported: dict[int, int]) -> None:
    assert result.done
    assert [t.number for t in result.trials] == list(range(TRIALS))
    assert {t.state for t in result.trials} == {State.COMPLETE}
    # A trial that was cut off went on from its checkpoint: at least from where it had reported.
    for number, again in enumerate(starts_by_trial(log)):
        assert again[0] == 0
        for start in again[1:]:
            assert start >= reported.get(number, 0), (number, again, reported)


def starts_by_trial(log: Path) -> list[list[int]]:
    starts: list[list[int]] = [[] for _ in range(TRIALS)]
    for line in lines(log):
        starts[line["number"]].append(line["from"])
    return starts


def running(home: Home) -> dict[int, int]:
    """The last step that each unfinished trial has reported."""
    trials = load_study("toy", home).trials
    return {t.number: t.steps for t in trials if t.state is State.RUNNING}


@pytest.mark.parametrize("inline", [True, False], ids=["inline", "ray"])
def test_whole_run_killed(write_study, home, tmp_path, inline):
    log = tmp_path / "log"
    space = {"x": {"low": 0, "high": 1}, "nap": 0.03, "log": str(log)}
    search = {"sampler": "tpe", "trials": TRIALS}
    study = write_study(space=space, search=search, tracking={"uri": "default"})
    command = ["run", str(study), *(["--inline"] if inline else [])]

    process = hpo(*command, home=home)
    wait_until_finished(home, 6)
    time.sleep(random.uniform(0, 0.2))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert 6 <= finished(home) < TRIALS
    reported = running(home)

    output, _ = hpo(*command, home=home).communicate(timeout=180)
    assert "is complete: 24 trials (24 complete)" in output
    result = load_study("toy", home)
    check_whole(result, log, reported)
    assert published(home) == Counter(range(TRIALS))
    if inline:  # one worker: the disturbed study tried what an undisturbed one would have
        other = Home(tmp_path / "other")
        hpo(*command, home=other).communicate(timeout=180)
        undisturbed = load_study("toy", other).trials
        assert [t.config for t in result.trials] == [t.config for t in undisturbed]
        assert [t.value for t in result.trials] == [t.value for t in undisturbed]


def test_coordinator_killed(write_study, home, tmp_path):
    log = tmp_path / "log"
    space = {"x": {"low": 0, "high": 1}, "nap": 0.1, "log": str(log)}
    search = {"sampler": "random", "trials": TRIALS}
    process = hpo("run", str(write_study(space=space, search=search)), home=home)
    wait_until_finished(home, 4)
    coordinator = (home.study("toy").root / "record.lock").read_text()
    reported = running(home)
    os.kill(int(coordinator), signal.SIGKILL)
    output, _ = process.communicate(timeout=180)
    assert "is complete: 24 trials (24 complete)" in output
    check_whole(load_study("toy", home), log, reported)


def test_second_run_of_a_study_is_refused_while_the_first_goes_on(write_study, home):
    study = str(write_study(space={"x": {"low": 0, "high": 1}, "nap": 0.2}))
    first = hpo("run", study, "--inline", home=home)
    wait_until_finished(home, 1)
    second = hpo("run", study, "--inline", home=home)
    output, _ = second.communicate(timeout=60)
    assert second.returncode == 2
    assert f"another process (id {first.pid}) is running the study 'toy'" in output
    first.communicate(timeout=120)
    assert first.returncode == 0


@pytest.mark.parametrize("inline", [True, False], ids=["inline", "ray"])
def test_interrupt_stops_cleanly_and_says_how_to_continue(write_study, home, inline):
    study = str(write_study(space={"x": {"low": 0, "high": 1}, "nap": 0.2}))
    command = ["run", study, *(["--inline"] if inline else [])]
    process = hpo(*command, home=home)
    wait_until_finished(home, 2)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"stopped; to continue: hpo run {study}" in output
    assert "Traceback" not in output
    output, _ = hpo(*command, home=home).communicate(timeout=120)
    assert "is complete: 8 trials (8 complete)" in output
