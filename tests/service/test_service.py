"""Submit and walk away: a service's whole life, by the commands that people give.

One service serves these tests, in their order.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request

import pytest
from service_site import Site, until

from hpo import snapshot
from hpo.home import Home
from hpo.records import State
from hpo.result import load_study
from hpo.service.queue import Queue
from hpo.track import home_server


@pytest.fixture(scope="module")
def up(site: Site) -> Site:
    said = site.hpo("up", "--studies", 1)
    assert "the service is up\n" in said and "http://127.0.0.1:" in said
    return site


def runs_of(home: Home, name: str) -> list[dict[str, object]]:
    """The runs of a study in MLflow, which are not deleted."""
    server = home_server.running(home)
    assert server is not None

    def ask(path: str, body: object) -> dict[str, object]:
        request = urllib.request.Request(
            f"{server.url}/api/2.0/mlflow/{path}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    found = ask("experiments/search", {"max_results": 100, "filter": f"name = '{name}'"})
    ids = [each["experiment_id"] for each in found["experiments"]]
    return ask("runs/search", {"experiment_ids": ids, "max_results": 100}).get("runs", [])


def check_whole(home: Home, name: str, trials: int) -> None:
    """Every number once, each with its result."""
    result = load_study(name, home)
    assert result.done
    assert [trial.number for trial in result.trials] == list(range(trials))
    assert {trial.state for trial in result.trials} == {State.COMPLETE}


def test_a_second_up_says_that_it_is_up(up: Site) -> None:
    before = up.service
    assert "up already" in up.hpo("up")
    said = up.hpo("up", "--studies", 3)
    assert "hpo down comes first" in said and "studies: 1, asked for 3" in said
    assert up.service == before


def test_the_most_urgent_goes_first_and_one_slot_is_for_one_study(up: Site) -> None:
    page = up.hpo("submit", up.write("first")).splitlines()[1]
    with urllib.request.urlopen(page.removeprefix("look at it: ")) as answer:
        assert answer.status == 200
    up.hpo("submit", up.write("second", trials=1))
    until(lambda: up.begun("first"), "first runs")
    said = up.hpo("submit", up.write("urgent", trials=1, priority=-1), "--priority", 5)
    assert "place 1 in the queue" in said
    rows = {line.split()[0]: line for line in up.hpo("list").splitlines()}
    assert "  running  " in rows["first"]
    assert "queued, place 1 of 2" in rows["urgent"]
    assert "place 2 of 2" in up.hpo("status", "second")
    assert not up.begun("urgent")


def test_the_driver_outlives_the_terminal(up: Site) -> None:
    driver = Queue(up.home).driver("first")
    assert driver is not None
    assert os.getsid(driver.pid) != os.getsid(0)
    assert driver.terminal() is None


def test_watching_can_be_left_and_shows_the_study(up: Site) -> None:
    watching = subprocess.Popen(
        up.command("watch", "first"),
        env={**os.environ, **up.variables(), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert watching.stdout is not None
    assert "first: 0/3 done" in watching.stdout.readline()
    watching.send_signal(signal.SIGINT)
    said = watching.communicate(timeout=60)[0]
    assert watching.returncode == 0 and "detached; the study goes on" in said, said
    said = up.hpo("status", "first")
    assert "study first: running" in said and " on 1 node\n" in said
    assert "look at it: http://127.0.0.1:" in said


def test_a_study_that_is_at_work_is_neither_submitted_nor_removed(up: Site) -> None:
    said = up.hpo("submit", up.write("first", trials=9), code=2)
    assert "study 'first' is running" in said and "hpo stop first" in said
    assert "hpo stop first" in up.hpo("remove", "first", "--yes", code=2)
    assert "waits for its turn" in up.hpo("remove", "second", "--yes", code=2)


def test_stop_and_resume(up: Site) -> None:
    assert "does not wait any more" in up.hpo("stop", "second")
    assert "stopped: hpo resume second" in up.hpo("watch", "second", code=130)
    up.open("urgent", "second")
    assert "was stopped; hpo resume first" in up.hpo("stop", "first")
    assert "neither waits nor runs" in up.hpo("stop", "first", code=2)
    before = up.begun("first")
    until(lambda: up.state("urgent") == "finished", "urgent ran")
    assert up.state("first") == "stopped" and not up.begun("second")

    up.open("first")
    up.hpo("resume", "first")
    said = up.hpo("watch", "first")
    assert "study first is complete: 3 trials (3 complete)" in said
    assert "use it: hpo best first" in said and "look at it: http://" in said
    again = [each for each in up.begun("first")[len(before) :] if each["number"] == 0]
    assert again and again[0]["from"] > 0
    check_whole(up.home, "first", 3)
    assert "study 'first' has finished" in up.hpo("resume", "first", code=2)


def test_what_a_study_and_its_trials_said(up: Site) -> None:
    assert "trial 1 begins" in up.hpo("logs", "first", "--trial", 1)
    assert up.hpo("logs", "first", "-f") == up.home.study("first").log.read_text()
    assert "has no trial 77" in up.hpo("logs", "first", "--trial", 77, code=2)


def test_a_study_that_fails_says_why(up: Site) -> None:
    up.hpo("submit", up.write("bad", trainable="gated:fail", budget={"max_failures": 1}))
    said = up.hpo("watch", "bad", code=1)
    assert "trials in a row failed" in said and "a bad day" in said
    assert up.state("bad") == "failed"
    assert "ValueError: a bad day" in up.hpo("logs", "bad", "--trial", 0)


def test_the_same_study_by_hpo_run_shows_on_the_service(up: Site) -> None:
    up.open("alone")
    said = up.hpo("run", up.write("alone", trials=2), "--inline")
    assert up.hpo("ui").split()[2].rstrip(",") in said
    assert len(runs_of(up.home, "alone")) == 3


def test_remove_takes_everything_and_asks_first(up: Site) -> None:
    folder = up.home.study("first").root
    assert len(runs_of(up.home, "first")) == 4
    assert "remove study first?" in up.hpo("remove", "first", code=1)
    assert folder.exists()
    assert "first is gone, and 4 MLflow runs" in up.hpo("remove", "first", "--yes")
    assert not folder.exists() and runs_of(up.home, "first") == []
    assert "there is no study 'first'" in up.hpo("remove", "first", "--yes", code=2)
    assert len(runs_of(up.home, "alone")) == 3


def test_up_goes_on_after_a_crash(up: Site) -> None:
    up.hpo("submit", up.write("crash", trials=12, nap=0.3))
    until(lambda: up.begun("crash"), "crash runs")
    up.hpo("submit", up.write("next", trials=12, nap=0.3))
    before, head = up.begun("crash"), up.service.ray.find()
    assert head is not None
    head.kill()
    until(lambda: up.service.ray.find() is None, "the head is gone")
    assert up.state("crash") == "interrupted"
    assert "start it: hpo up" in up.hpo("submit", up.write("other"), code=2)
    said = up.hpo("up")
    assert "waiting for their turn: crash, next" in said
    assert "studies side by side: 1" in said
    until(lambda: len(up.begun("crash")) > len(before), "crash goes on")
    assert up.begun("crash")[len(before)]["from"] > 0


def test_down_stops_studies_and_ends_its_own_processes_only(up: Site) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    try:
        assert "stopping crash" in up.hpo("down")
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
    assert up.processes() == []
    assert (up.state("crash"), up.state("next")) == ("stopped", "queued")
    assert not up.begun("next")
    assert "no service is up" in up.hpo("down")


def test_two_slots_run_two_studies_each_with_its_share(up: Site) -> None:
    cpus = os.cpu_count() or 1
    if cpus < 2:
        pytest.skip("one CPU has room for one worker")
    said = up.hpo("up", "--studies", 2)
    assert "waiting for their turn: next" in said

    def workers(name: str) -> int:
        seen = snapshot.read(up.home.study(name))
        return 0 if seen is None else seen.progress.workers

    def share_alike() -> bool:
        seen = snapshot.read(up.home.study("next"))
        assert seen is not None
        if seen.progress.workers > cpus // 2:  # a surplus worker ends with its trial
            up.let_through("next", seen.progress.finished + 1)
        both = sorted((workers("crash"), workers("next")))
        return both == [cpus // 2, cpus - cpus // 2]

    until(lambda: workers("next") == cpus, "next has the machine to itself")
    up.hpo("resume", "crash")
    until(lambda: up.state("crash") == "running", "crash runs beside it")
    until(share_alike, "they share alike")
    up.open("next")
    until(lambda: workers("crash") == cpus, "crash gets what next had")
    up.open("crash")
    until(lambda: up.state("crash") == "finished", "crash is done")
    check_whole(up.home, "crash", 12)
    check_whole(up.home, "next", 12)
    up.hpo("down")
