"""Who runs what. All of it can be lost: workers tell it anew, and trials that nobody holds wait."""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence


def worker_of(lease: str) -> str:
    """Whose lease it is. A lease names its worker, so that a coordinator started anew knows it."""
    return lease.rpartition("/")[0]


class Assignments:
    """Trials by who holds them, and workers by when they were last heard.

    Args:
        unfinished: trials that someone began, in the order in which they go on.
        claim_seconds: for so long workers that live on may say which of these they hold; 0 where
            there are none.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        unfinished: Iterable[int],
        claim_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._waiting = deque(() if claim_seconds else unfinished)
        self._unclaimed = set(unfinished if claim_seconds else ())
        self._claims_until = clock() + claim_seconds
        self._leases: dict[int, str] = {}
        self._heard: dict[str, float] = {}
        self._gone: set[str] = set()
        self._condemned: set[str] = set()
        self._barred: set[str] = set()
        self._nodes: dict[str, str] = {}
        self._looked = clock()

    @property
    def waiting(self) -> tuple[int, ...]:
        """Trials that wait for a worker, first the one that is handed out next."""
        return tuple(self._waiting)

    @property
    def held(self) -> int:
        """How many trials workers hold."""
        return len(self._leases)

    @property
    def busy(self) -> int:
        """How many workers hold trials."""
        return len({worker_of(lease) for lease in self._leases.values()})

    def of(self, worker: str) -> set[int]:
        """The trials that a worker holds."""
        return {number for number, lease in self._leases.items() if worker_of(lease) == worker}

    @property
    def open(self) -> bool:
        """Whether any trial waits, or may still be claimed."""
        return bool(self._waiting or self._unclaimed)

    @property
    def workers(self) -> int:
        """How many workers there are."""
        return len(self._nodes)

    @property
    def nodes(self) -> int:
        """On how many nodes they are."""
        return len(set(self._nodes.values()))

    def leases(self) -> Iterator[tuple[int, str]]:
        """Trials that are held, with their leases; they may be dropped meanwhile."""
        return iter(list(self._leases.items()))

    def began(self, worker: str, node: str) -> None:
        """A worker has begun; one that was given up meanwhile has not."""
        if worker not in self._gone:
            self._heard[worker] = self._clock()
            self._nodes[worker] = node

    def node_of(self, worker: str) -> str | None:
        """Where a worker runs; `None` if it has not said so to this process."""
        return self._nodes.get(worker)

    def hear(self, worker: str) -> bool:
        """Notes a sign of life; false for a worker that has ended, whose words come late."""
        if worker not in self._gone:
            self._heard[worker] = self._clock()
        return worker not in self._gone

    def silent(self, workers: Sequence[str], seconds: float) -> list[str]:
        """Workers not heard for so long; of those never heard at all the time counts from now.

        To be asked often: if nobody has looked for half that time, then nobody has listened either
        (this process was held up, say by a database that was away), and all count from now.
        """
        now = self._clock()
        if now - self._looked > seconds / 2:
            self._heard = dict.fromkeys(self._heard, now)
        self._looked = now
        for worker in workers:
            if worker not in self._gone:
                self._heard.setdefault(worker, now)
        return [worker for worker, heard in self._heard.items() if now - heard > seconds]

    def bar(self, worker: str) -> bool:
        """A worker that can do nothing for now; whether any other can."""
        self._barred.add(worker)
        return bool(self._heard.keys() - self._barred)

    def unbar(self, worker: str) -> None:
        """A worker that can do something again."""
        self._barred.discard(worker)

    def condemn(self, worker: str) -> None:
        """A worker that is to be killed: nothing it says counts any more."""
        self._heard.pop(worker, None)
        self._gone.add(worker)
        self._condemned.add(worker)

    @property
    def condemned(self) -> tuple[str, ...]:
        """Workers to be killed that have not ended yet."""
        return tuple(sorted(self._condemned))

    def ended(self, worker: str) -> None:
        """Forgets a worker."""
        self._heard.pop(worker, None)
        self._nodes.pop(worker, None)
        self._gone.add(worker)
        self._condemned.discard(worker)
        self._barred.discard(worker)

    def put(self, number: int) -> None:
        """A new trial waits."""
        self._waiting.append(number)

    def hand_to(self, worker: str, number: int) -> str:
        """A new lease for a trial that waits."""
        self._waiting.remove(number)
        self._leases[number] = f"{worker}/{uuid.uuid4().hex}"
        return self._leases[number]

    def holds(self, number: int, lease: str) -> bool:
        """Whether a trial is held under this lease; who first claims an unclaimed one holds it."""
        if number in self._unclaimed:
            self._unclaimed.remove(number)
            self._leases[number] = lease
        return self._leases.get(number) == lease

    def take_back(self, worker: str, numbers: Collection[int] | None = None) -> list[int]:
        """Those of these trials that a worker held, by default all; they wait again."""
        of = self.of(worker)
        held = sorted(of if numbers is None else of & set(numbers))
        for number in held:
            del self._leases[number]
        self._waiting.extend(held)
        return held

    def drop(self, number: int) -> None:
        """A trial that has ended."""
        self._leases.pop(number, None)
        if number in self._waiting:
            self._waiting.remove(number)

    def end_claims(self) -> None:
        """When the time for claims is over, what nobody has claimed waits."""
        if self._unclaimed and self._clock() > self._claims_until:
            self._waiting.extend(sorted(self._unclaimed))
            self._unclaimed.clear()
