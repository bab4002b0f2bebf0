"""Commands that were cut short, or half of whose work failed, leave a service that goes on."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from hpo.errors import HpoError, InputError
from hpo.home import Home
from hpo.process import Process
from hpo.service import control, processes
from hpo.service.control import resume, stop_running
from hpo.service.down import down
from hpo.service.options import Given, Options
from hpo.service.queue import Place, Queue
from hpo.service.state import Service, ServiceFolder
from hpo.service.up import up
from hpo.track import home_server
from hpo.track.home_server import HomeServer


class JobApi(ThreadingHTTPServer):
    """Takes jobs as Ray's job API does, unless it is told not to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.refuses = False
        self.jobs: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    server: JobApi

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.server.refuses:
            self.server.jobs.append(body["submission_id"])
        self.send_response(500 if self.server.refuses else 200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def api() -> Iterator[JobApi]:
    with JobApi() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def sleeper() -> Iterator[Process]:
    """A process of ours that stands for one of the service."""
    started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    yield Process.of(started.pid)
    started.kill()
    started.wait()


@pytest.fixture
def home(tmp_path: Path, api: JobApi, sleeper: Process, monkeypatch: pytest.MonkeyPatch) -> Home:
    """One with a service that is up, as far as its files say."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    home = Home(tmp_path / "home")
    folder = ServiceFolder.of(home)
    folder.make()
    folder.make_token()
    folder.write(Service(options=Options(), ray=sleeper, address="127.0.0.1:1", jobs=api.url))
    home_server.write(home, HomeServer(url="http://127.0.0.1:2", process=sleeper, secured=False))
    for name in ("a", "b"):
        home.study(name).root.mkdir(parents=True)
        home.study(name).spec.write_text("{}")
    return home


def service(home: Home) -> Service:
    found = ServiceFolder.of(home).read()
    assert found is not None
    return found


def test_down_that_is_cut_short_leaves_a_service_that_begins_studies(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = Queue(home)
    queue.put("a", 0)
    queue.put("b", 0)
    queue.take("job")

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(control.time, "sleep", interrupt)
    monkeypatch.setattr(psutil.Process, "send_signal", lambda *_: None)  # this process is it
    with pytest.raises(KeyboardInterrupt):
        down(home)
    assert queue.take("job") is not None


def test_up_takes_away_the_mark_of_a_down_that_was_killed(home: Home, api: JobApi) -> None:
    Queue(home).put("a", 0)
    ServiceFolder.of(home).closing.touch()
    found = up(home, Given())
    assert found.was_up and found.going_on == ("a",)
    assert Queue(home).take("job") is not None


def test_what_waits_without_a_driver_gets_one(home: Home, api: JobApi) -> None:
    queue = Queue(home)
    queue.put("a", 0)
    queue.leave("a", Place.STOPPED)
    api.refuses = True
    with pytest.raises(HpoError, match="does not take the study"):
        resume("a", home)
    api.refuses = False
    resume("a", home)
    assert len(api.jobs) == 1
    assert up(home, Given()).going_on == ("a",)
    assert len(api.jobs) == 2


def test_only_studies_that_ended_are_said_to_be_stopped(
    home: Home, sleeper: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "STOP_TIMEOUT_S", 0.3)
    monkeypatch.setattr(psutil.Process, "send_signal", lambda *_: None)  # it does not listen
    queue = Queue(home)
    queue.put("a", 0)
    queue.take("job")
    with pytest.raises(HpoError, match="a: still running"):
        stop_running(["a"], home)
    entry = queue.entry("a")
    assert entry is not None and entry.place is Place.RUNNING


@pytest.mark.parametrize("dead", ["ray", "mlflow"])
def test_a_part_that_is_up_is_not_mixed_with_other_options(home: Home, dead: str) -> None:
    gone = Process(pid=2**22, created=1.0)
    if dead == "ray":
        ServiceFolder.of(home).write(service(home).model_copy(update={"ray": gone}))
    else:
        home_server.write(home, HomeServer(url="http://127.0.0.1:2", process=gone, secured=False))
    with pytest.raises(
        InputError, match=r"a part of the service is up, .* studies: 4, asked for 7"
    ):
        up(home, Given(studies=7))


def test_a_process_that_ends_while_it_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    process = Process.of(started.pid)
    found = process.find()
    started.kill()
    started.wait()
    monkeypatch.setattr(Process, "find", lambda _: found)  # as it was a moment ago
    processes.stop(process, tmp_path / "log", 1.0)


def test_what_an_up_that_was_killed_has_started_is_ended(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    folder = ServiceFolder.of(home)
    folder.make()
    left = processes.start(
        [sys.executable, "-c", "import time; time.sleep(300)"], {}, folder.log("ray")
    )
    assert down(home)
    assert left.find() is None
    assert not down(home)


def test_a_study_that_waits_is_not_run_beside_the_service(home: Home) -> None:
    control.refuse_queued("a", home)
    Queue(home).put("a", 0)
    with pytest.raises(InputError, match="'a' was submitted and waits for its turn"):
        control.refuse_queued("a", home)


def test_nothing_waits_where_there_is_nothing_to_do(home: Home) -> None:
    assert not Queue(home).put("a", 0, prepare=lambda: False)
    assert Queue(home).waiting() == []
    assert Queue(home).put("a", 0)


def test_a_study_whose_removal_was_cut_short_is_none(home: Home) -> None:
    root = home.study("a").root
    root.rename(root.with_name(".a-4242"))
    assert [folder.name for folder in home.studies()] == ["b"]
