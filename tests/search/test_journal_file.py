"""What is particular to the journal in a file."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hpo.errors import InputError
from hpo.search.journal.file import FileJournal

ROOT = Path(__file__).parents[2]
LINES = b'{"op_code":9,"number":0}\n{"op_code":9,"number":1}\n'


def read(path: Path, writable: bool = False) -> list[int]:
    return [operation["number"] for operation in FileJournal(path, writable).read_logs(0)]


@pytest.mark.parametrize("torn", [b"{", b'{"op_code":9,"number":2}', b"\x00\x00\x00"])
def test_a_torn_last_line_is_not_read_and_cut_by_the_next_writer(tmp_path, torn):
    path = tmp_path / "journal"
    path.write_bytes(LINES + torn)
    assert read(path) == [0, 1]
    assert path.read_bytes() == LINES + torn
    assert read(path, writable=True) == [0, 1]
    assert path.read_bytes() == LINES


@pytest.mark.parametrize("text", [b"garbage", b"\x00garbage", b"my novel\n"])
def test_a_file_that_is_no_journal_is_refused_and_not_cut(tmp_path, text):
    path = tmp_path / "journal"
    path.write_bytes(text)
    with pytest.raises(InputError, match=r"journal:1: the record is damaged"):
        FileJournal(path, writable=True)
    assert path.read_bytes() == text


FILL = """
import signal, sys
from pathlib import Path
from hpo.search.journal.file import FileJournal

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = FileJournal(Path(sys.argv[1]), writable=True)
written = len(list(journal.read_logs(0)))
try:
    while True:
        with journal.batch():
            for _ in range(7):
                journal.append_logs([{"op_code": 9, "number": written, "text": "x" * 50}])
                written += 1
except OSError as error:
    print(error.errno, written - 7)
try:
    journal.append_logs([{"op_code": 9, "number": written}])
except OSError as error:
    print(error.errno)
"""


@pytest.mark.parametrize("limit", [1000, 5000, 12345])
def test_a_full_disk_leaves_the_file_as_before_the_batch_and_ends_the_writing(tmp_path, limit):
    path = tmp_path / "journal"
    ran = subprocess.run(
        [sys.executable, "-c", FILL, path],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    full, again = ran.stdout.splitlines()
    number, written = map(int, full.split())
    assert (number, int(again)) == (errno.EFBIG, errno.EFBIG)
    assert 0 < written < limit / 50 and written % 7 == 0
    assert path.read_bytes().endswith(b"\n")
    assert read(path) == list(range(written))


def test_a_write_that_is_interrupted_is_the_last(tmp_path, monkeypatch):
    journal = FileJournal(tmp_path / "journal", writable=True)
    journal.append_logs([{"op_code": 9, "number": 0}])

    def interrupted(descriptor: int) -> None:
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            journal.append_logs([{"op_code": 9, "number": 1}])
    with pytest.raises(OSError, match="cut off"):
        journal.append_logs([{"op_code": 9, "number": 2}])
    assert read(tmp_path / "journal") == [0]
