"""How a worker, and whoever places workers, speak with the coordinator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hpo.checkpoints import StoreLost
from hpo.records import Decision, Outcome, Report, Saved, TrialSpec


class ChannelLost(BaseException):
    """The coordinator could not be reached; not an `Exception`, so that user code lets it pass."""


class Channel(Protocol):
    """A worker's side of the coordinator. All calls but `said` may be repeated without
    harm."""

    def began(self, worker: str, node: str) -> None:
        """A worker has begun on some node."""

    def next_trial(self, worker: str) -> TrialSpec | None:
        """A trial for this worker, which by asking says that it runs none; `None`: none is left."""

    def more(self, worker: str, held: Sequence[int], room: int, fewest: int = 0) -> list[TrialSpec]:
        """Trials that can train together with those that the worker holds, at most `room`; none if
        there are not even `fewest`."""

    def give_back(self, worker: str, numbers: Sequence[int], alone: bool) -> None:
        """The worker runs these no more, and nobody is to blame; `alone`: the next one runs each
        by itself."""

    def alive(self, worker: str, held: Sequence[tuple[int, str]]) -> None:
        """A sign of life, with the trials that the worker holds and their leases."""

    def report(self, number: int, lease: str, report: Report) -> Decision: ...

    def report_all(self, reports: Sequence[tuple[int, str, Report]]) -> list[Decision]:
        """As `report`, for trials that train together: each by number, with its lease."""

    def too_wide(self, worker: str, lanes: int) -> None:
        """A worker has no memory for so many trials at once; it runs none of them any more."""

    def saved(self, number: int, lease: str, saved: Saved) -> bool:
        """Notes what a trial has saved in a store; false if it has gone to another worker."""

    def said(self, number: int, lease: str, output: bytes) -> None:
        """Keeps what a trial has printed on a node that does not see the study's folder."""

    def store_lost(self, worker: str, lost: StoreLost) -> bool:
        """Takes a trial back from a worker that cannot use the store for checkpoints; whether it
        waits until it can."""

    def finish(self, number: int, lease: str, outcome: Outcome) -> None: ...


class Supervised(Channel, Protocol):
    """The coordinator as the one who places workers sees it."""

    def work_left(self) -> bool:
        """Whether a new worker would get a trial now."""

    def finished(self) -> bool:
        """Whether no worker will be needed any more."""

    def node_of(self, worker: str) -> str | None:
        """Where a worker runs, if that is known."""

    def worker_ended(self, worker: str, died: bool) -> None:
        """Takes back what the worker held."""

    def limit_workers(self, most: int) -> None:
        """No more than so many workers get a trial from now on."""

    def overdue(self, workers: Sequence[str]) -> tuple[str, ...]:
        """Which of these workers are to be killed."""
