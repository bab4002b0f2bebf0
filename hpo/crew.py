"""Who runs what, on the clock: assignments do not change without the ledger."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from hpo.assignments import Assignments, worker_of
from hpo.ledger import Ledger


class Crew(Assignments):
    """Assignments whose changes a ledger hears of; see there. What a trial came to it does not."""

    def __init__(self, ledger: Ledger, unfinished: Iterable[int], claim_seconds: float) -> None:
        super().__init__(unfinished, claim_seconds)
        self._ledger = ledger

    def hear(self, worker: str) -> bool:
        heard = super().hear(worker)
        if heard:
            self._ledger.worker_seen(worker)
        return heard

    def ended(self, worker: str) -> None:
        super().ended(worker)
        self._ledger.worker_ended(worker)

    def hand_to(self, worker: str, number: int) -> str:
        lease = super().hand_to(worker, number)
        self._ledger.trial_began(number, worker)
        return lease

    def holds(self, number: int, lease: str) -> bool:
        holds = super().holds(number, lease)
        if holds:
            self._ledger.trial_began(number, worker_of(lease))
        return holds

    def take_back(self, worker: str, numbers: Collection[int] | None = None) -> list[int]:
        held = super().take_back(worker, numbers)
        for number in held:
            self._ledger.trial_left(number)
        return held
