"""A tracker in any condition never holds a study up, and misses nothing."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gate import Gate, Mood

from hpo.home import Home
from hpo.records import State, StudyCard
from hpo.track import (
    CurvePoint,
    Ending,
    MemoryTracker,
    MlflowTracker,
    Publisher,
    StudyPage,
    Tracker,
    TrialPage,
)
from hpo.track.ui import Ui, serve


@contextlib.contextmanager
def publishing(tracker: Tracker, study: Any, card: StudyCard, **more: Any) -> Iterator[Publisher]:
    publisher = Publisher(tracker, card, study.changed, study.folder, every_s=0.05, **more)
    publisher.start()
    try:
        yield publisher
    finally:
        publisher.close(0)


def wait_for(what: Callable[[], Any], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def test_trials_show_while_they_run_and_as_they_ended(study: Any, made: Any) -> None:
    tracker = MemoryTracker()
    with publishing(tracker, study, made.card, derived=lambda trial: {"twice": 2}) as publisher:
        study.add(made.trial(0, State.RUNNING, 1))
        wait_for(lambda: 0 in tracker.children and tracker.children[0].history)
        assert tracker.children[0].ended is None
        study.folder.traceback(1).parent.mkdir(parents=True)
        study.folder.traceback(1).write_text("Traceback: boom\n")
        study.add(made.trial(0), made.trial(1, State.FAILED))
        assert publisher.close(5, Ending.STOPPED)
    assert len(tracker.children[0].history["val_error"]) == 3
    assert tracker.children[0].params["twice"] == "2"
    assert tracker.children[1].artifacts == {"traceback.txt": "Traceback: boom\n"}
    assert tracker.parent is not None
    assert tracker.parent.ended == "stopped"


def test_the_page_is_made_from_all_trials_and_once_at_the_end(study: Any, made: Any) -> None:
    tracker = MemoryTracker()
    seen: list[list[int]] = []

    def page(trials: Any) -> StudyPage:
        seen.append([trial.number for trial in trials])
        return StudyPage(
            f"{len(trials)} trials", {"val_error": [CurvePoint(0, 0.5, 1.0)]}, finished=len(trials)
        )

    with publishing(tracker, study, made.card, page=page, page_every_s=60) as publisher:
        wait_for(lambda: seen)
        study.add(made.trial(1), made.trial(0))
        wait_for(lambda: len(tracker.children) == 2)
        assert publisher.close(5)
    assert seen == [[], [0, 1]]
    assert tracker.parent is not None
    assert tracker.parent.tags["mlflow.note.content"] == "2 trials"


class Moody(MemoryTracker):
    """Refuses what it is told to refuse."""

    down = False
    refused: frozenset[int] = frozenset()

    def start(self, card: StudyCard) -> frozenset[int]:
        self._check()
        return super().start(card)

    def present(self) -> bool:
        self._check()
        return super().present()

    def open(self, page: TrialPage) -> None:
        self._check()
        if page.trial.number in self.refused:
            raise ValueError("not this one\nwith details")
        super().open(page)

    def _check(self) -> None:
        if self.down:
            raise ConnectionError("nobody there")


def test_an_outage_is_remembered_and_made_up_for(study: Any, made: Any) -> None:
    tracker = Moody()
    tracker.down = True
    with publishing(tracker, study, made.card) as publisher:
        study.add(*(made.trial(n) for n in range(3)))
        wait_for(lambda: publisher.trouble)
        assert publisher.trouble == "ConnectionError: nobody there"
        tracker.down = False
        wait_for(lambda: publisher.trouble is None)
        study.add(made.trial(3))
        assert publisher.close(5)
    assert sorted(tracker.children) == [0, 1, 2, 3]


def test_one_trial_that_is_refused_does_not_keep_the_others_back(study: Any, made: Any) -> None:
    tracker = Moody()
    tracker.refused = frozenset({0})
    with publishing(tracker, study, made.card) as publisher:
        study.add(*(made.trial(n) for n in range(3)))
        wait_for(lambda: len(tracker.children) == 2)
        assert not publisher.close(5)
        assert publisher.trouble == "trial 0: ValueError: not this one"
    assert sorted(tracker.children) == [1, 2]
    assert tracker.parent is not None
    assert tracker.parent.ended == "done"


def test_a_wiped_memory_is_filled_again(study: Any, made: Any) -> None:
    tracker = MemoryTracker()
    with publishing(tracker, study, made.card) as publisher:
        study.add(made.trial(0), made.trial(1))
        wait_for(lambda: len(tracker.children) == 2)
        tracker.wipe()
        study.add(made.trial(2))
        assert publisher.close(5)
    assert sorted(tracker.children) == [0, 1, 2]


def test_a_wiped_database_is_filled_again(study: Any, made: Any, home: Home, read: Any) -> None:
    tracker = MlflowTracker(home.tracking_uri, "digits", home.artifacts)
    with publishing(tracker, study, made.card) as publisher:
        study.add(*(made.trial(n) for n in range(3)))
        wait_for(lambda: tracker.url() is None and study_shows(home, read, 3))
        shutil.rmtree(home.root)
        study.add(made.trial(3))
        assert publisher.close(30), publisher.trouble
    parents, children = read(home.tracking_uri)
    assert len(parents) == 1
    assert sorted(children) == [0, 1, 2, 3]
    assert all(child.ended for child in children.values())


def study_shows(home: Home, read: Any, trials: int) -> bool:
    with contextlib.suppress(AssertionError):
        return sum(child.ended for child in read(home.tracking_uri)[1].values()) == trials
    return False


def test_a_server_killed_and_restarted_shows_everything_once(
    study: Any,
    made: Any,
    read: Any,
    tmp_path: Path,
    make_home: Callable[[Path], Home],
    free_port: int,
) -> None:
    home = make_home(tmp_path / "server")
    ui = serve(home, port=free_port)
    tracker = MlflowTracker(ui.url, "digits")
    with publishing(tracker, study, made.card) as publisher:
        try:
            for n in range(12):
                study.add(made.trial(n, State.RUNNING, 1))
            wait_for(lambda: tracker.url())
            study.add(*(made.trial(n) for n in range(12)))
            # Somewhere in the middle of publishing, wherever that is.
            time.sleep(0.2)
            os.killpg(ui.process.pid, signal.SIGKILL)
            ui.wait()
            study.add(*(made.trial(n) for n in range(12, 16)))
            wait_for(lambda: publisher.trouble, seconds=10)
            ui = serve(home, port=free_port)
            assert publisher.close(60), publisher.trouble
            parents, children = read(ui.url)
        finally:
            ui.stop()
    assert len(parents) == 1
    assert sorted(children) == list(range(16))
    for number, child in children.items():
        assert child.status == "FINISHED"
        assert child.history["val_error"] == [(s, made.val_error(number, s)) for s in (1, 2, 3)]


@pytest.mark.parametrize("listens", [False, True], ids=["closed port", "hung server"])
def test_closing_keeps_its_time_whatever_the_server_does(
    study: Any, made: Any, listens: bool, free_port: int
) -> None:
    with contextlib.ExitStack() as stack:
        if listens:
            server = stack.enter_context(socket.create_server(("127.0.0.1", free_port)))
            assert server
        tracker = MlflowTracker(f"http://127.0.0.1:{free_port}", "digits")
        publisher = stack.enter_context(publishing(tracker, study, made.card))
        study.add(made.trial(0))
        if not listens:
            wait_for(lambda: publisher.trouble, seconds=15)
        before = time.monotonic()
        assert not publisher.close(1.0)
        assert time.monotonic() - before < 2.5
        assert publisher.trouble
        assert "\n" not in publisher.trouble


@pytest.fixture
def behind(server: tuple[Ui, Home]) -> Iterator[Gate]:
    """A gate in front of a real server."""
    ui, _ = server
    with Gate(int(ui.url.rpartition(":")[2])) as gate:
        yield gate


@pytest.fixture
def experiment(request: pytest.FixtureRequest) -> str:
    """One for each test that shares the server."""
    return str(request.node.name)


def test_a_server_that_answers_500_is_made_up_for_once_it_is_mended(
    study: Any, made: Any, read: Any, behind: Gate, experiment: str
) -> None:
    behind.mood = Mood.BROKEN
    with publishing(MlflowTracker(behind.url, experiment), study, made.card) as publisher:
        study.add(made.trial(0), made.trial(1, State.FAILED))
        wait_for(lambda: publisher.trouble)
        assert "500" in str(publisher.trouble)
        behind.mood = Mood.WELL
        study.add(made.trial(2))
        assert publisher.close(60), publisher.trouble
    parents, children = read(behind.url, experiment)
    assert len(parents) == 1
    assert {n: child.status for n, child in children.items()} == {
        0: "FINISHED",
        1: "FAILED",
        2: "FINISHED",
    }


def test_what_was_done_though_the_answer_was_500_is_not_done_twice(
    study: Any, made: Any, read: Any, behind: Gate, experiment: str
) -> None:
    with publishing(MlflowTracker(behind.url, experiment), study, made.card) as publisher:
        behind.mood = Mood.FORGETFUL
        study.add(*(made.trial(n) for n in range(5)))
        wait_for(lambda: behind.lost >= 2, seconds=60)
        behind.mood = Mood.WELL
        assert publisher.close(60), publisher.trouble
    parents, children = read(behind.url, experiment)
    assert len(parents) == 1
    assert sorted(children) == list(range(5))
    for number, child in children.items():
        assert child.status == "FINISHED"
        assert child.history["val_error"] == [(s, made.val_error(number, s)) for s in (1, 2, 3)]


def test_a_slow_server_is_left_behind_and_caught_up_with_later(
    study: Any, made: Any, read: Any, behind: Gate, experiment: str
) -> None:
    behind.mood = Mood.SLOW
    with publishing(MlflowTracker(behind.url, experiment), study, made.card) as publisher:
        study.add(*(made.trial(n) for n in range(3)))
        wait_for(lambda: behind.asked)
        assert not publisher.close(0.5)
        assert publisher.trouble == "the tracker did not take everything within 0.5 s"
    behind.mood = Mood.WELL
    wait_for(lambda: "hpo-publisher" not in {thread.name for thread in threading.enumerate()})
    with publishing(MlflowTracker(behind.url, experiment), study, made.card) as again:
        assert again.close(60), again.trouble
    parents, children = read(behind.url, experiment)
    assert len(parents) == 1
    assert sorted(children) == [0, 1, 2]
    assert all(child.ended for child in children.values())


def test_a_run_that_is_being_opened_when_the_time_is_over_is_not_opened_again(
    study: Any, made: Any, read: Any, behind: Gate, experiment: str
) -> None:
    """Who comes next would not see it yet, and open another."""
    with publishing(MlflowTracker(behind.url, experiment), study, made.card) as publisher:
        study.add(made.trial(0))
        wait_for(lambda: "set-terminated" in behind.path or "runs/update" in behind.path)
        behind.mood = Mood.SLOW
        study.add(*(made.trial(n) for n in range(1, 4)))
        wait_for(lambda: "runs/create" in behind.path)
        assert not publisher.close(0)
    behind.mood = Mood.WELL
    with publishing(MlflowTracker(behind.url, experiment), study, made.card) as again:
        assert again.close(60), again.trouble
    wait_for(lambda: "hpo-publisher" not in {thread.name for thread in threading.enumerate()})
    assert sorted(read(behind.url, experiment)[1]) == [0, 1, 2, 3]


def test_what_comes_up_late_from_a_process_that_was_killed_is_removed(
    study: Any, made: Any, read: Any, behind: Gate, experiment: str
) -> None:
    from mlflow import MlflowClient

    first = MlflowTracker(behind.url, experiment)
    first.start(made.card)
    first.publish(TrialPage(made.trial(0), made.reports(0)))  # and is killed
    with publishing(MlflowTracker(behind.url, experiment), study, made.card) as publisher:
        study.add(made.trial(0), made.trial(1))
        wait_for(lambda: len(read(behind.url, experiment)[1]) == 2)
        client = MlflowClient(behind.url)
        run = client.get_run(read(behind.url, experiment)[1][1].run_id)
        client.create_run(run.info.experiment_id, tags=run.data.tags)  # what it had asked for
        assert publisher.close(60), publisher.trouble
    _, children = read(behind.url, experiment)
    assert sorted(children) == [0, 1] and all(child.ended for child in children.values())
    assert len(children[1].history["val_error"]) == 3, "the late one was empty"


def test_of_two_parents_the_one_with_trials_stays(
    made: Any, read: Any, behind: Gate, experiment: str
) -> None:
    from mlflow import MlflowClient

    tracker = MlflowTracker(behind.url, experiment)
    tracker.start(made.card)
    tracker.publish(TrialPage(made.trial(0), made.reports(0)))
    client = MlflowClient(behind.url)
    run = client.get_run(read(behind.url, experiment)[0][0].run_id)
    late = client.create_run(run.info.experiment_id, start_time=1, tags=run.data.tags)
    assert tracker.start(made.card) == {0}
    parents, children = read(behind.url, experiment)
    assert [parent.run_id for parent in parents] == [run.info.run_id] != [late.info.run_id]
    assert sorted(children) == [0]
