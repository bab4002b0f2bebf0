from __future__ import annotations

import math
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hpo import metric_log
from hpo.errors import InputError
from hpo.records import Report


def report(step: int, loss: float = 0.5) -> Report:
    return Report(step, {"loss": loss, "accuracy": 1.0}, time=100.0 + step)


@contextmanager
def room(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trials" / "000000" / "metrics.jsonl"


def test_reports_are_read_as_they_were_appended(path):
    assert metric_log.read(path) == []
    reports = [report(1), report(2, 1e-300), report(5, -0.1)]
    for each in reports:
        metric_log.append(path, each)
    assert metric_log.read(path) == reports


def test_values_that_are_not_finite_survive_and_the_file_is_json(path):
    for step, loss in enumerate((math.nan, math.inf, -math.inf), start=1):
        metric_log.append(path, report(step, loss))
    losses = [r.metrics["loss"] for r in metric_log.read(path)]
    assert math.isnan(losses[0]) and losses[1:] == [math.inf, -math.inf]
    assert "NaN" not in path.read_text() and "Infinity" not in path.read_text()


def test_a_step_reported_again_replaces_the_earlier(path):
    for each in (report(1), report(2), report(3), report(2, 0.1)):
        metric_log.append(path, each)
    assert metric_log.read(path) == [report(1), report(2, 0.1), report(3)]


@pytest.mark.parametrize("kept", [1, 20, -1])
def test_a_torn_line_is_not_read_and_is_cut_by_the_next_append(path, kept):
    metric_log.append(path, report(1))
    metric_log.append(path, report(2))
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second[:kept])
    assert metric_log.read(path) == [report(1)]
    metric_log.append(path, report(3))
    assert metric_log.read(path) == [report(1), report(3)]
    assert path.read_bytes().count(b"\n") == 2


@pytest.mark.parametrize("more", [0, 1, 30])
def test_a_full_disk_is_an_error_and_leaves_the_reports_before(path, more):
    metric_log.append(path, report(1))
    before = path.read_bytes()
    with room(len(before) + more), pytest.raises(OSError, match="too large"):
        metric_log.append(path, report(2))
    assert path.read_bytes() == before
    metric_log.append(path, report(2))
    assert metric_log.read(path) == [report(1), report(2)]


@pytest.mark.parametrize("line", ["garbage", "3", "[]", '{"step": 1}', '{"metrics": {"a": "b"}}'])
def test_damage_is_an_error_with_its_place(path, line):
    metric_log.append(path, report(1))
    with path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(InputError, match=r"metrics\.jsonl:2: .*damaged"):
        metric_log.read(path)


def test_a_log_that_is_too_large_is_refused(path, monkeypatch):
    metric_log.append(path, report(1))
    monkeypatch.setattr(metric_log, "MAX_BYTES", path.stat().st_size - 1)
    with pytest.raises(InputError, match=r"metrics.jsonl cannot be read: it must have at most"):
        metric_log.read(path)
