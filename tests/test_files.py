"""Files that are there whole or not at all, and no more of them in memory than is wanted."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpo.files import read_bounded, read_end, write_atomically, write_private


def test_what_is_private_is_so_whatever_was_there(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for write in (write_atomically, write_private):
        write(path, "old")
        with pytest.raises(UnicodeEncodeError):
            write(path, "\ud800")
        assert path.read_text() == "old"
        assert list(tmp_path.iterdir()) == [path]


def test_too_large_a_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_bounded(path, 5) == b"12345"
    with pytest.raises(ValueError, match="at most 4 bytes"):
        read_bounded(path, 4)


def test_the_end_of_a_text(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("a line\nthe lást")
    assert read_end(path, 5) == "lást"
    assert read_end(path, 3) == "\N{REPLACEMENT CHARACTER}st"
    assert read_end(path, 1000) == "a line\nthe lást"
