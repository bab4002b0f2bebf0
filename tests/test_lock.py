from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hpo.errors import StudyConflict
from hpo.lock import FileLock, is_held

HOLD = """
import sys, time
from pathlib import Path
from hpo.lock import FileLock

lock = FileLock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "digits" / "run.lock"


@pytest.fixture
def holder(path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, path],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_holder_is_refused_and_told_who_the_first_is(path, holder):
    with pytest.raises(StudyConflict) as raised:
        FileLock(path)
    assert raised.value.message == (
        f"another process (id {holder.pid}) is running the study 'digits'"
    )
    assert is_held(path)


def test_the_lock_dies_with_its_holder(path, holder):
    holder.send_signal(signal.SIGKILL)
    lock = FileLock(path, wait_seconds=30)
    assert path.read_text() == str(os.getpid())
    lock.release()


def test_a_holder_that_stands_still_holds_it_still(path, holder):
    holder.send_signal(signal.SIGSTOP)
    with pytest.raises(StudyConflict):
        FileLock(path, wait_seconds=0.2)


def test_a_lock_that_is_given_back_can_be_taken_again(path):
    assert not is_held(path)
    lock = FileLock(path)
    assert is_held(path)
    lock.release()
    lock.release()
    assert not is_held(path)
    FileLock(path).release()


def test_a_child_that_was_forked_does_not_keep_it(path):
    lock = FileLock(path)
    child = os.fork()
    if child == 0:
        signal.pause()
        os._exit(0)
    try:
        lock.release()
        assert not is_held(path)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_one_who_waits_gets_it(path):
    lock = FileLock(path)
    threading.Timer(0.3, lock.release).start()
    FileLock(path, wait_seconds=30).release()
