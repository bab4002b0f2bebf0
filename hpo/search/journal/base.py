"""The record's journal: Optuna's operations, one after the other, written by one process.

Optuna's own backends make every single operation durable by itself and synchronise with other
writers before each. Here one process writes, everything that belongs together is made durable at
once, and what this process has written is never read again. The operations stay Optuna's.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from optuna.storages.journal import BaseJournalBackend

from hpo.errors import InputError

Operation = dict[str, Any]


class Journal(BaseJournalBackend):
    """A journal that this process alone appends to; a store implements `_load` and `_write`.

    Args:
        writable: readers pass `False`; they see what was complete when they first read.
    """

    def __init__(self, writable: bool) -> None:
        self._writable = writable
        self._unread: list[Operation] | None = None  # None: the store itself is unread
        self._first_unread = 0
        self._batch: list[str] | None = None
        self._failed: OSError | None = None

    @abstractmethod
    def _load(self) -> Iterator[Operation]:
        """Every operation that is whole, in the order in which they were written.

        Raises:
            InputError: the store is damaged, or cannot be read.
        """

    @abstractmethod
    def _write(self, lines: list[str]) -> None:
        """Appends operations, each as one line of JSON without its newline.

        They are durable on return. A crash in between leaves the first few of them, or none; a
        store may promise all or none.

        Raises:
            OSError: they could not be written, and nothing of them is left.
        """

    @property
    def begun(self) -> bool:
        """Whether anything was in the store when it was read."""
        return self._first_unread > 0

    def close(self) -> None:
        """Lets another process write: this one cannot any more. May be called again."""
        self._failed = self._failed or OSError("the journal is closed")

    def read_logs(self, log_number_from: int) -> Iterable[Operation]:
        if self._unread is None:
            assert log_number_from == 0, "the storage reads everything first"
            for operation in self._load():
                self._first_unread += 1
                yield operation
            self._unread = []
            return
        # The storage asks for what follows the last operation it has seen, never again for less.
        skip = log_number_from - self._first_unread
        fresh, self._unread = self._unread[skip:], []
        self._first_unread = log_number_from + len(fresh)
        yield from fresh

    def append_logs(self, logs: list[Operation]) -> None:
        assert self._writable, "a reader must not write"
        lines = [json.dumps(log, separators=(",", ":")) for log in logs]
        if self._batch is None:
            self._commit(lines)
        else:
            self._batch += lines
        if self._unread is not None:
            self._unread += logs

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Everything appended inside becomes durable together, at the end.

        An exception inside changes nothing about that: the storage in memory has the operations
        already, and the store must not fall behind it.
        """
        assert self._batch is None, "batches do not nest"
        self._batch = []
        try:
            yield
        finally:
            lines, self._batch = self._batch, None
            if lines:
                self._commit(lines)

    def _commit(self, lines: list[str]) -> None:
        if self._failed is not None:
            raise self._failed
        try:
            self._write(lines)
        except BaseException as error:
            # What is in memory is ahead of the store now: this process must not go on from it.
            self._failed = error if isinstance(error, OSError) else OSError("a write was cut off")
            raise


def parse(line: str | bytes, place: str) -> Operation:
    """One operation.

    Raises:
        InputError: the line at `place` is none.
    """
    try:
        operation = json.loads(line)
        operation["op_code"]
    except (ValueError, TypeError, KeyError):
        raise InputError(
            f"{place}: the record is damaged, this is no operation",
            "put it back from a copy; hpo itself only ever appends whole operations",
        ) from None
    return cast(Operation, operation)
