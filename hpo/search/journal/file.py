"""The journal as a file: one operation a line, in Optuna's own format.

`optuna.load_study` opens it. A batch that a crash cuts off leaves a prefix of its lines; a line
without its newline is not one, and is removed before anything is appended.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from hpo.errors import InputError
from hpo.metric_log import append_durably, cut_torn_line
from hpo.search.journal.base import Journal, Operation, parse


class FileJournal(Journal):
    """The journal in one file.

    Args:
        path: created for a writer, if absent. Writers are kept apart by whoever opens it.
    """

    def __init__(self, path: Path, writable: bool) -> None:
        super().__init__(writable)
        self._path = path
        if writable:
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
                _sync(path.parent)
            with path.open("rb") as file:
                first = file.readline()
            if first and not first.startswith(b"{"):
                parse(first, self._place(1))  # some other file: it must not be cut
            cut_torn_line(path)

    def _load(self) -> Iterator[Operation]:
        try:
            with self._path.open("rb") as file:
                for number, line in enumerate(file, start=1):
                    if line.endswith(b"\n"):
                        yield parse(line, self._place(number))
        except FileNotFoundError:
            raise InputError(f"there is no record at {self._path}") from None

    def _write(self, lines: list[str]) -> None:
        if not self._path.exists():  # written anew it would lack its beginning
            raise FileNotFoundError(f"{self._path} is gone")
        append_durably(self._path, "".join(line + "\n" for line in lines).encode())

    def _place(self, line: int) -> str:
        return f"{self._path}:{line}"


def _sync(folder: Path) -> None:
    """Makes a new file's name durable, which syncing the file does not."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
