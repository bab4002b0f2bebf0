"""What a study and its trials have said."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from hpo.errors import InputError
from hpo.home import StudyFolder

LOOK_S = 0.3
"""Between two looks at a log that is followed."""

PIECE = 64 << 10
"""Characters read at once."""


def files(folder: StudyFolder, trial: int | None) -> list[Path]:
    """The logs to show, in their order.

    Args:
        trial: a number, or `None` for what the engine said of the study.

    Raises:
        InputError: there is no such study or trial, or it has said nothing.
    """
    if not folder.spec.exists():
        raise InputError(f"there is no study {folder.name!r}", "hpo list shows those that are")
    if trial is None:
        return [folder.log]
    if not folder.trial(trial).exists():
        raise InputError(f"study {folder.name!r} has no trial {trial}")
    return [folder.output(trial), folder.traceback(trial)]


def read(paths: list[Path]) -> Iterator[str]:
    """All that is there."""
    for path in paths:
        if path.is_file():
            with path.open(encoding="utf-8", errors="replace") as file:
                yield from file


def follow(path: Path, is_over: Callable[[], bool]) -> Iterator[str]:
    """All that is there and whatever comes, until it is over."""
    while not path.is_file():
        if is_over():
            return
        time.sleep(LOOK_S)
    with path.open(encoding="utf-8", errors="replace") as file:
        last = False
        while True:
            if text := file.read(PIECE):
                yield text
            elif last:
                return
            else:
                last = is_over()  # and one more look at what was said at the end
                time.sleep(0 if last else LOOK_S)
