"""The interface of checkpoints: a worker's side, and that of whoever has the record."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from hpo.checkpoints.lost import StoreLost
from hpo.checkpoints.store import Store
from hpo.records import Saved, TrialSpec

__all__ = ["Checkpoints", "Note", "Saved", "Store", "StoreLost", "Working"]

Note = Callable[[Saved], bool]
"""Has the coordinator note what was saved; false if the trial has gone to another worker, so that
this one's work is void."""


class Working(ABC):
    """The folder of one execution of a trial.

    Attributes:
        folder: where the trainable reads and writes; it exists.
    """

    folder: Path

    @abstractmethod
    def save_if_due(self) -> None:
        """Saves what is there, now and then. A store that does not answer holds nobody up."""

    @abstractmethod
    def save(self, patience_seconds: float) -> None:
        """Saves what is there; it is in the store on return.

        Raises:
            StoreLost: it could not be saved in so many seconds.
        """


class Checkpoints(ABC):
    """What the trials of one stage have saved, by number. Can be sent to other processes."""

    @property
    @abstractmethod
    def store(self) -> Store | None:
        """The store that they go to; `None`: they stay in the study's folder, on one machine."""

    @property
    def is_shared(self) -> bool:
        """Whether workers on any node can use it."""
        return self.store is not None

    # -- a worker's side, on any node ----------------------------------------------------------

    @abstractmethod
    def open(self, spec: TrialSpec, note: Note) -> AbstractContextManager[Working]:
        """A folder for one execution, with what the trial had saved when it was handed out.

        Raises:
            StoreLost: the store does not give it.
        """

    # -- where the record is -------------------------------------------------------------------

    @abstractmethod
    def local(self, number: int) -> Path:
        """The folder with what a trial saved last, on this machine; for reading only.

        Raises:
            StoreLost: the store does not give it.
        """

    @abstractmethod
    def saved(self, number: int) -> Saved | None:
        """What the trial saved last, for the worker that goes on with it."""

    @abstractmethod
    def note(self, number: int, saved: Saved) -> None:
        """Makes durable what a trial has saved last.

        Raises:
            OSError: it could not be written.
        """

    @abstractmethod
    def drop(self, number: int) -> None:
        """Removes what a trial has saved; returns at once, whether or not the store answers."""

    @abstractmethod
    def clear(self) -> None:
        """Removes what any trial has saved, where it is not in the study's folder.

        Raises:
            StoreLost: the store does not do that.
        """

    @abstractmethod
    def close(self) -> None:
        """Waits for what is being removed."""
