"""What a trainable sees of trials that train together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hpo.records import Decision
from hpo.trainable.trial import Trial


class Member(NamedTuple):
    """A trial of a pack.

    Args:
        config: an instance of the trainable's `config_type`, or a plain dict.
        trial: as a trial alone gets it, but that the pack reports for it.
    """

    config: Any
    trial: Trial


class Progressed(NamedTuple):
    """What a member has to report: see `Trial.report`."""

    trial: Trial
    metrics: Mapping[str, float]
    step: int


class Pack(ABC):
    """Trials of one fusion key, on one worker.

    Attributes:
        members: to begin with; at least one.
        width: at most so many train together.
    """

    members: Sequence[Member]
    width: int

    @abstractmethod
    def report(self, progressed: Sequence[Progressed]) -> list[Decision]:
        """Hands in metrics of several members, at one step each.

        Returns:
            for each of them whether it goes on. One that does not is to be ended with `end`; if the
            decision is `PAUSE`, once it has saved where it stands.

        Raises:
            HpoError: a metric is not a number, or a step not a whole number from 1.
        """

    @abstractmethod
    def end(self, trial: Trial, result: Mapping[str, float] | None = None) -> None:
        """A member trains no more.

        Args:
            result: its final metrics, if it ran to its end; what `Trainable.run` would return.
        """

    @abstractmethod
    def fail(self, trial: Trial, error: Exception) -> None:
        """A member cannot train, and the others are not to suffer for it."""

    @abstractmethod
    def more(self, room: int) -> Sequence[Member]:
        """Trials to take the place of those that have ended; perhaps none, at most `room`."""
