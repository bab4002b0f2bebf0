"""What a run says to whoever interrupts it, or starts it twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hpo.errors import InputError
from hpo.home import Home
from hpo.records import State
from hpo.result import load_study


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


def test_second_run_of_a_study_is_refused_while_the_first_goes_on(write_study, home):
    study = str(write_study(space={"x": {"low": 0, "high": 1}, "nap": 0.2}))
    first = hpo("run", study, "--inline", home=home)
    wait_until_finished(home, 1)
    second = hpo("run", study, "--inline", home=home)
    output, _ = second.communicate(timeout=120)
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
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert f"stopped; to continue: hpo run {study}" in output
    assert "Traceback" not in output
    output, _ = hpo(*command, home=home).communicate(timeout=120)
    assert "is complete: 8 trials (8 complete)" in output
