"""The record's file: Optuna's journal with group commit.

Optuna's own file backend makes every single operation durable by itself and keeps a lock file that
outlives its holder. Here one process writes (the study's lock sees to that), everything that
belongs together is written and made durable at once, and a line that a crash tore is cut off.
The format stays Optuna's: one JSON operation a line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from optuna.storages.journal import BaseJournalBackend

from hpo.errors import InputError
from hpo.metric_log import cut_torn_line


class StudyJournal(BaseJournalBackend):
    """A journal file that this process alone appends to.

    Args:
        path: created if absent.
        writable: readers pass `False`; they see what was complete when they opened it.
    """

    def __init__(self, path: Path, writable: bool) -> None:
        self._path = path
        self._writable = writable
        self._unread: list[dict[str, Any]] | None = None  # None: the file itself is unread
        self._first_unread = 0
        self._batch: list[str] | None = None
        self._failed: OSError | None = None
        if writable:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            with path.open("rb") as file:
                first = file.readline()
            if first and not first.startswith(b"{"):
                self._operation(first, 1)
            cut_torn_line(path)

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        if self._unread is None:
            if log_number_from:
                return
            self._unread = []
            with self._path.open("rb") as file:
                for number, line in enumerate(file, start=1):
                    if line.endswith(b"\n"):
                        self._first_unread += 1
                        yield self._operation(line, number)
            return
        # The storage asks for what follows the last operation it has seen, never again for less.
        skip = log_number_from - self._first_unread
        fresh, self._unread = self._unread[skip:], []
        self._first_unread = log_number_from + len(fresh)
        yield from fresh

    def _operation(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            operation = json.loads(line)
            operation["op_code"]
        except (ValueError, TypeError, KeyError):
            raise InputError(
                f"{self._path}:{number}: the record is damaged, this line is no operation",
                "put the file back from a copy; hpo itself only ever appends whole lines",
            ) from None
        return cast(dict[str, Any], operation)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        assert self._writable, "a reader must not write"
        lines = [json.dumps(log, separators=(",", ":")) for log in logs]
        if self._batch is None:
            self._write(lines)
        else:
            self._batch += lines
        if self._unread is not None:
            self._unread += logs

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Everything appended inside becomes durable together, at the end."""
        assert self._batch is None, "batches do not nest"
        self._batch = []
        try:
            yield
        finally:
            lines, self._batch = self._batch, None
            if lines:
                self._write(lines)

    def _write(self, lines: list[str]) -> None:
        if self._failed is not None:
            raise self._failed
        unwritten = memoryview("".join(line + "\n" for line in lines).encode())
        with self._path.open("ab", buffering=0) as file:
            before = file.tell()
            try:
                while unwritten:
                    unwritten = unwritten[file.write(unwritten) :]
                os.fsync(file.fileno())
            except OSError as error:
                file.truncate(before)
                # What is in memory is ahead of the file now: this process must not go on from it.
                self._failed = error
                raise
