"""The queue: the most urgent first, each once, whatever ended in between."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from hpo.errors import InputError
from hpo.home import Home
from hpo.service.queue import Place, Queue


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


def test_higher_priority_goes_first_then_the_oldest(home: Home) -> None:
    queue = Queue(home)
    for name, priority in (("c", 0), ("a", 0), ("d", 5), ("b", -1)):
        assert queue.put(name, priority)
    assert taken(home) == ["d", "c", "a", "b"]
    assert queue.entry("d").job == "job-0" and queue.entry("d").place is Place.RUNNING


def test_one_that_waits_needs_no_second_driver_and_keeps_its_turn(home: Home) -> None:
    queue = Queue(home)
    assert queue.put("a", 0) and queue.put("b", 0)
    assert not queue.put("a", 0)
    assert taken(home) == ["a", "b"]


def test_one_that_runs_cannot_be_put_in_again(home: Home) -> None:
    queue = Queue(home)
    queue.put("a", 0)
    queue.take("job")
    with pytest.raises(InputError, match="study 'a' is running"):
        queue.put("a", 3)
    queue.leave("a", Place.ENDED, "no trial is complete")
    assert queue.entry("a").failure == "no trial is complete"
    assert queue.put("a", 3) and queue.entry("a").failure == ""


def test_a_stopped_one_is_passed_over(home: Home) -> None:
    queue = Queue(home)
    queue.put("a", 0)
    queue.put("b", 0)
    queue.leave("a", Place.STOPPED)
    assert taken(home) == ["b"]
    assert queue.entry("c") is None


def test_what_ran_when_the_service_went_down_waits_again(home: Home) -> None:
    queue = Queue(home)
    for name in ("a", "b", "c"):
        queue.put(name, 0)
    queue.take("job")
    queue.leave("b", Place.STOPPED)
    assert queue.interrupted() == ["a", "c"]
    assert taken(home) == ["a", "c"]


def test_drivers_at_once_never_take_the_same(home: Home) -> None:
    names = [f"s{n}" for n in range(24)]
    for name in names:
        home.study(name).root.mkdir()
        home.study(name).spec.write_text("{}")
        Queue(home).put(name, 0)
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        found = pool.map(taken, [home] * 4)
    assert sorted(name for each in found for name in each) == sorted(names)


def test_a_damaged_entry_is_told(home: Home) -> None:
    home.study("a").queue.write_text("{")
    with pytest.raises(InputError, match=r"queue\.json is damaged"):
        Queue(home).entry("a")
