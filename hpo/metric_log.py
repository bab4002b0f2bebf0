"""A trial's reports on disk: one JSON object a line, appended as they come.

A line counts once its newline is there: what a crash left half written is cut off before the next
append and is never read. A step reported again (by a trial that ran on from an older checkpoint)
replaces the earlier one.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

from hpo.errors import InputError
from hpo.files import read_bounded
from hpo.records import Report

MAX_BYTES = 1 << 29
"""Of one trial's reports: more than a million of them."""


def append(path: Path, report: Report) -> None:
    """Appends one report and makes it durable.

    Raises:
        OSError: it could not be written; the file is as before, or ends in a torn line.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # JSON has no NaN and no infinity: they are written as "nan", "inf" and "-inf".
    metrics = {k: v if math.isfinite(v) else str(v) for k, v in report.metrics.items()}
    line = json.dumps({"step": report.step, "time": report.time, "metrics": metrics})
    path.touch()
    cut_torn_line(path)
    append_durably(path, line.encode() + b"\n")


def append_durably(path: Path, data: bytes) -> None:
    """Appends to a file; it is on the disk on return.

    Raises:
        OSError: it could not be written, and is taken back.
    """
    unwritten = memoryview(data)
    with path.open("ab", buffering=0) as file:
        before = file.tell()
        try:
            while unwritten:
                unwritten = unwritten[file.write(unwritten) :]
            os.fsync(file.fileno())
        except BaseException:
            file.truncate(before)
            raise


def cut_torn_line(path: Path) -> None:
    """Removes bytes after the last newline; a file that ends with one is left alone."""
    with path.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        if end == 0:
            return
        file.seek(end - 1)
        if file.read(1) == b"\n":
            return
        file.seek(0)
        keep = file.read().rfind(b"\n") + 1
        file.truncate(keep)


def read(path: Path) -> list[Report]:
    """All reports, by step; none if the trial has not reported.

    Raises:
        InputError: a line that is whole is no report, or the file is too large.
    """
    try:
        text = read_bounded(path, MAX_BYTES)
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise InputError(
            f"{path} cannot be read: {error}",
            "put the file back from a copy; report less often, or fewer metrics",
        ) from None
    by_step: dict[int, Report] = {}
    for number, line in enumerate(text[: text.rfind(b"\n") + 1].splitlines(), start=1):
        try:
            entry = json.loads(line)
            metrics = {name: float(value) for name, value in entry["metrics"].items()}
            by_step[entry["step"]] = Report(entry["step"], metrics, entry["time"])
        except (ValueError, TypeError, KeyError, AttributeError):
            raise InputError(
                f"{path}:{number}: the trial's metrics are damaged, this line is no report",
                "put the file back from a copy; hpo itself only ever appends whole lines",
            ) from None
    return [by_step[step] for step in sorted(by_step)]
