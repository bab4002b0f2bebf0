"""Looking after workers, and calls to a coordinator that dies."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from hpo.errors import first_line, last_line
from hpo.execute import ray_tune
from hpo.execute.supervision import Workers


@pytest.mark.parametrize(
    ("error", "first", "last"),
    [
        (ValueError("one\ntwo"), "one", "two"),
        (ValueError("\n one \n"), "one", "one"),
        (ValueError(), "ValueError", "ValueError"),
    ],
)
def test_the_lines_of_an_error(error, first, last):
    assert (first_line(error), last_line(error)) == (first, last)


class Restarting:
    """A coordinator that first answers with an error that says nothing."""

    def __init__(self) -> None:
        self.failed = False
        self.heard = threading.Event()

    def limit_workers(self, most: int) -> None:
        if not self.failed:
            self.failed = True
            raise ConnectionError

    def overdue(self, workers: list[str]) -> tuple[str, ...]:
        self.heard.set()
        return ()


def test_an_error_without_words_does_not_end_the_watch():
    coordinator = Restarting()
    with Workers(coordinator, lambda: 1, every_seconds=0.01):
        assert coordinator.heard.wait(30)


def test_what_would_be_there_twice_is_not_sent_again(ray_cluster, tmp_path):
    class Dying:
        """Notes what it is told; its process ends in the middle of the first call of each kind."""

        def __init__(self, stage: Path, again: bool = False) -> None:
            self.folder = stage

        def _note(self, name: str) -> None:
            path = self.folder / name
            with path.open("a") as file:
                file.write("x")
            if path.stat().st_size == 1:
                os._exit(1)

        def said(self) -> None:
            self._note("said")

        def report(self) -> None:
            self._note("report")

    coordinator = ray_tune.start_coordinator(Dying, tmp_path)
    with pytest.raises(ray_tune.ENGINE_ERRORS):
        coordinator.said()
    coordinator.report()
    assert (tmp_path / "report").read_text() == "xx"
    assert (tmp_path / "said").read_text() == "x"
