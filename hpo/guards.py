"""What a method does around itself: it takes turns, and a full disk stops the study."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from threading import RLock
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from hpo.errors import HpoError, StudyFailed

P = ParamSpec("P")
R = TypeVar("R")


class Guarded(Protocol):
    """An object whose methods are called from several threads and write to a disk."""

    mutex: RLock

    def fail(self, failure: HpoError) -> None:
        """Stops the study."""


S = TypeVar("S", bound=Guarded)


def locked(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """One call at a time."""

    def taking_turns(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self.mutex:
            return method(self, *args, **kwargs)

    update_wrapper(taking_turns, method)
    return taking_turns


def writes(
    otherwise: Any,
) -> Callable[[Callable[Concatenate[S, P], R]], Callable[Concatenate[S, P], R]]:
    """A disk that is full or gone stops the study; `otherwise` is what the caller is told."""

    def decorate(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
        def writing(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return method(self, *args, **kwargs)
            except OSError as error:
                self.fail(
                    StudyFailed(
                        f"the record cannot be written: {error}",
                        "mend that and run the study again: nothing that was recorded is lost",
                    )
                )
                return otherwise  # type: ignore[no-any-return]

        update_wrapper(writing, method)
        return writing

    return decorate
