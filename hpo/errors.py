"""What can go wrong, as one small tree.

HpoError                 anything a user can act on; the command line prints it without a traceback
|-- InputError           what was given is wrong (exit code 2)
|   |-- StudyFileError   mistakes in a study file, all of them at once
|   |-- TrainableError   the trainable cannot be imported or has the wrong signature
|   |-- DataError        a data set cannot be used
|   |-- ResourceError    the machine lacks what was asked for
|   `-- StudyConflict    the name belongs to another study, or is in use
`-- StudyFailed          the study ran and could not reach a result (exit code 1)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class HpoError(Exception):
    """An error with a remedy.

    Args:
        message: the rule that was broken and the value that broke it.
        hint: what to do about it; may be empty.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


class InputError(HpoError):
    exit_code = 2


class TrainableError(InputError):
    pass


class DataError(InputError):
    pass


class ResourceError(InputError):
    pass


class StudyConflict(InputError):
    pass


class StudyFailed(HpoError):
    exit_code = 1


def first_line(error: BaseException) -> str:
    """What an error says, cut after its first line; its type where it says nothing."""
    return _lines(error)[0]


def last_line(error: BaseException) -> str:
    """The same for the last line, where errors that hold a traceback say what it comes to."""
    return _lines(error)[-1]


def _lines(error: BaseException) -> list[str]:
    return str(error).strip().splitlines() or [type(error).__name__]


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something stands in a text file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake in a study file: `place: path: rule, value, remedy`."""

    place: Place
    path: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (str(self.place), self.path, self.message) if part)


class StudyFileError(InputError):
    """All mistakes of a study file, in the order in which they stand there."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(sorted(set(mistakes), key=lambda m: (m.place, m.path, m.message)))
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))

    def __reduce__(self) -> tuple[type[StudyFileError], tuple[tuple[Mistake, ...]]]:
        return StudyFileError, (self.mistakes,)
