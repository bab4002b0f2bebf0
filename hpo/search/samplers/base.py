"""What proposes the next config."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import optuna
from optuna.trial import FrozenTrial

from hpo.errors import StudyFailed
from hpo.space import Draw, Space

ATTEMPTS = 1000
"""Draws of one trial before giving up. With 5 % of the space valid, one trial in 10**22 fails."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A valid point.

    Args:
        draws: how many points were drawn to find it; all but the last were rejected by the model.
        position: how far in the sequence it lies, for a grid and for quasi-random points; else -1.
    """

    draw: Draw
    draws: int = 1
    position: int = -1


class Proposer(ABC):
    """What comes next: a function of the study's seed, the trial's number and what is known.

    Nothing else enters: between two proposals a proposer keeps only what it could compute again.

    Attributes:
        replays: a draw leaves something on the trials of the study that later draws need. Such a
            study is opened again by drawing once more, in order and with what was known then, what
            has been drawn.
    """

    replays: ClassVar[bool] = False

    def __init__(self, space: Space, seed: int) -> None:
        self.space = space
        self.seed = seed

    def has_next(self, last_position: int) -> bool:
        """Whether anything is left to try after the trial at `last_position`."""
        return True

    @abstractmethod
    def propose(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        number: int,
        last_position: int,
        given: Mapping[str, float],
    ) -> Proposal | None:
        """Finds a point for a trial.

        Args:
            study: what is known, in memory: one trial for each of the record, by number, preceded
                by those of earlier studies.
            trial: the one to find a point for: in `study`, running, without parameters.
            number: the trial's in the record.
            last_position: of the trial before, -1 for the first.
            given: what is fixed for this trial, by parameter: a value, or the index of an option.
                The rest is chosen.

        Returns:
            `None` when there is nothing left to try.

        Raises:
            StudyFailed: no valid point was found.
        """


def nothing_valid(draws: int, why: str | None) -> StudyFailed:
    return StudyFailed(
        f"no valid config was found in {draws} draws; the last was rejected: {why}",
        "narrow the ranges to what the model accepts",
    )
