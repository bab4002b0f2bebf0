"""The queue: the most urgent first, each once, whatever ended in between."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from hpo.errors import InputError
from hpo.home import Home
from hpo.service import control
from hpo.service.queue import MAX_BYTES, Place, Queue
from hpo.service.state import ServiceFolder


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    for name in ("a", "b", "c", "d"):
        home.study(name).root.mkdir(parents=True)
        home.study(name).spec.write_text("{}")
    return home


def taken(home: Home) -> list[str]:
    names = []
    while folder := Queue(home).take(f"job-{len(names)}"):
        names.append(folder.name)
    return names


def taken_by_one_that_dies(queue: Queue) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.apply(Queue.take, [queue, "job"])


def test_higher_priority_goes_first_then_the_oldest(home: Home) -> None:
    queue = Queue(home)
    for name, priority in (("c", 0), ("a", 0), ("d", 5), ("b", -1)):
        queue.put(name, priority)
    assert taken(home) == ["d", "c", "a", "b"]
    assert queue.entry("d").job == "job-0" and queue.entry("d").place is Place.RUNNING


def test_one_that_waits_and_is_put_in_again_keeps_its_turn(home: Home) -> None:
    queue = Queue(home)
    for name in ("a", "b", "a"):
        queue.put(name, 0)
    assert taken(home) == ["a", "b"]


def test_one_that_runs_cannot_be_put_in_again(home: Home) -> None:
    queue = Queue(home)
    queue.put("a", 0)
    queue.take("job")
    with pytest.raises(InputError, match="study 'a' is running"):
        queue.put("a", 3, prepare=lambda: pytest.fail("it must not be touched"))
    queue.leave("a", Place.ENDED, "no trial is complete")
    assert queue.entry("a").failure == "no trial is complete"
    queue.put("a", 3)
    assert queue.entry("a").failure == ""


def test_a_stopped_one_is_passed_over(home: Home) -> None:
    queue = Queue(home)
    queue.put("a", 0)
    queue.put("b", 0)
    assert queue.withdraw("a") and not queue.withdraw("a") and not queue.withdraw("c")
    assert queue.entry("a").place is Place.STOPPED
    assert taken(home) == ["b"]
    assert queue.entry("c") is None


def test_stopping_one_whose_driver_died_says_so(home: Home) -> None:
    queue = Queue(home)
    queue.put("a", 0)
    taken_by_one_that_dies(queue)
    assert "did not run any more" in control.stop("a", home)
    assert queue.entry("a").place is Place.STOPPED


def test_what_ran_when_the_service_went_down_waits_again(home: Home) -> None:
    queue = Queue(home)
    for name in ("a", "b", "c", "d"):
        queue.put(name, 0)
    taken_by_one_that_dies(queue)
    queue.take("job")
    queue.withdraw("c")
    assert queue.interrupted() == ["a", "d"]
    assert queue.running() == ["b"]
    assert taken(home) == ["a", "d"]


def test_drivers_at_once_never_take_the_same(home: Home) -> None:
    names = [f"s{n}" for n in range(24)]
    for name in names:
        home.study(name).root.mkdir()
        home.study(name).spec.write_text("{}")
        Queue(home).put(name, 0)
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        found = pool.map(taken, [home] * 4)
    assert sorted(name for each in found for name in each) == sorted(names)


@pytest.mark.parametrize("text", ["{", " " * (MAX_BYTES + 1)])
def test_a_damaged_entry_is_told_and_holds_up_no_other(
    home: Home, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    queue = Queue(home)
    for name in ("a", "b", "c"):
        queue.put(name, 0)
    home.study("a").queue.write_text(text)
    with pytest.raises(InputError, match=r"queue\.json is damaged"):
        queue.entry("a")
    assert taken(home) == ["b", "c"] and queue.share("b", 4) == 2
    assert queue.interrupted() == []
    assert len([r for r in caplog.records if "a is left out of the queue" in r.getMessage()]) >= 1
    before = len(caplog.records)
    queue.waiting()
    assert len(caplog.records) == before, "once is enough"


def test_nothing_is_begun_while_the_service_goes_down(home: Home) -> None:
    queue = Queue(home)
    queue.put("a", 0)
    closing = ServiceFolder.of(home).closing
    closing.touch()
    assert taken(home) == [] and queue.waiting() == ["a"]
    closing.unlink()
    assert taken(home) == ["a"]


def test_one_whose_driver_has_died_can_be_put_in_again(home: Home) -> None:
    queue = Queue(home)
    queue.put("a", 0)
    taken_by_one_that_dies(queue)
    assert queue.entry("a").place is Place.RUNNING and queue.driver("a") is None
    assert queue.running() == []
    queue.put("a", 0)
    assert taken(home) == ["a"]


def test_what_cannot_be_prepared_does_not_wait(home: Home) -> None:
    def fail() -> None:
        raise InputError("other settings")

    queue = Queue(home)
    with pytest.raises(InputError, match="other settings"):
        queue.put("a", 0, prepare=fail)
    assert queue.entry("a") is None


def test_those_that_run_share_alike(home: Home) -> None:
    queue = Queue(home)
    assert queue.share("a", 5) == 5
    for name in ("b", "a", "c"):
        queue.put(name, 0)
    taken(home)
    assert [queue.share(name, 5) for name in ("b", "a", "c")] == [2, 2, 1]
    assert [queue.share(name, 2) for name in ("b", "a", "c")] == [1, 1, 1]
    queue.leave("b", Place.ENDED)
    assert [queue.share(name, 5) for name in ("a", "c")] == [3, 2]
