"""Draws configs in a thread of its own, so that a worker seldom waits for a sampler.

What the sampler learns and what it draws go through one queue, in order: a draw depends on the
results that were known when it was asked for, whatever comes in meanwhile. A draw is asked for
ahead of time, while trials run, where it would otherwise keep a worker waiting: when several
workers are busy, whose results come in any order anyway, and in long studies, where drawing takes
time and one result more or less no longer matters. Below that a lone worker's draws know it all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from optuna.trial import FrozenTrial

from hpo.errors import StudyFailed
from hpo.records import Json, State, TrialRecord
from hpo.search.knowledge import Knowledge
from hpo.search.pruners import PrunerSettings
from hpo.search.record import Origin, Record
from hpo.search.samplers import Proposal, proposer
from hpo.search.settings import SearchSettings
from hpo.space import Space, locate

R = TypeVar("R")

AHEAD_FROM = 200
"""From this trial on every draw is made while the trial before it still runs."""


class Draws:
    """The configs of a study, one after the other.

    Args:
        record: what was tried so far, and where new trials are opened.
        enqueue: configs to try first, whole or in part.
        earlier: trials of other studies as told to Optuna, each with its config.
        extension: how often the space has grown.
    """

    def __init__(
        self,
        record: Record,
        space: Space,
        search: SearchSettings,
        pruner: PrunerSettings,
        *,
        enqueue: Sequence[Json] = (),
        earlier: Iterable[tuple[Json, FrozenTrial]] = (),
        extension: int = 0,
    ) -> None:
        self._record = record
        self._space = space
        self._total = search.trials
        self._extension = extension
        self._parameters = {here.parameter.name: here.parameter for here in space.parameters}
        self._enqueue = [locate(space.root, entry, partial=True) for entry in enqueue]
        self._knowledge = Knowledge(space, record.objectives, earlier)
        origins = [record.origin(number) for number in range(len(record))]
        self._enqueued = sum(origin.enqueued for origin in origins)
        # The points of a grid are counted anew when it has grown; other sequences just go on.
        counted = [
            origin
            for origin in origins
            if origin.extension == extension or search.sampler != "grid"
        ]
        self._position = max((origin.position for origin in counted), default=-1)
        self._proposer = proposer(
            space,
            search,
            objectives=len(record.objectives),
            pruner=pruner,
            tried=_tried(record.trials(), origins, extension) if search.sampler == "grid" else (),
        )
        self._ahead: Future[Proposal | None] | None = None
        self._unknown: tuple[int, ...] = ()
        self._failure: BaseException | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="hpo-draws")
        trials = record.trials()
        self._running = {t.number for t in trials if t.state is State.RUNNING}
        self._look_on()
        self._resume(trials, origins)

    def close(self) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def has_next(self) -> bool:
        """Whether there is anything left to draw."""
        return self._more

    def next(self) -> Future[Proposal | None]:
        """The draw for the next trial; the same again until that is opened."""
        if self._ahead is None:
            self._ask()
        assert self._ahead is not None
        return self._ahead

    def open(self, proposal: Proposal, workers: int) -> TrialRecord:
        """Opens the next trial with what was drawn for it.

        Args:
            workers: how many have a trial, this one included.
        """
        enqueued = self._enqueued < len(self._enqueue)
        origin = Origin(proposal.draws, proposal.position, self._unknown, enqueued, self._extension)
        trial = self._record.open(proposal, origin, self._parameters)
        self._do(self._knowledge.choose, trial.number, trial.params)
        self._enqueued += enqueued
        self._position = max(self._position, proposal.position)
        self._running.add(trial.number)
        self._ahead = None
        self._look_on()
        number = len(self._record)
        if self._more and number != self._total and (workers > 1 or number >= AHEAD_FROM):
            self._ask()
        return trial

    def ended(self, number: int) -> None:
        """Has the sampler learn how a trial ended."""
        self._running.discard(number)
        self._do(self._knowledge.learn, number, self._record.told(number))

    # -- resuming -----------------------------------------------------------------------------

    def _resume(self, trials: Sequence[TrialRecord], origins: Sequence[Origin]) -> None:
        """Brings the sampler to where it was when the last trial was opened, and then to now."""
        count = len(trials)
        ahead = count >= AHEAD_FROM and self._more and count != self._total
        # The next draw was, or would have been, made without the result of the last trial.
        hidden = {count - 1} - self._running if ahead else set()
        self._do(self._rebuild, trials, origins, hidden)
        if ahead:
            self._running |= hidden
            self._ask()
        for number in hidden:
            self.ended(number)

    def _rebuild(
        self, trials: Sequence[TrialRecord], origins: Sequence[Origin], hidden: set[int]
    ) -> None:
        learnt: set[int] = set()

        def learn(numbers: Iterable[int]) -> None:
            for number in numbers:
                if number not in learnt and trials[number].state is not State.RUNNING:
                    self._knowledge.learn(number, self._record.told(number))
                    learnt.add(number)

        behind: set[int] = set()  # trials that some draw so far did not know the result of
        enqueued, position = 0, -1
        for trial, origin in zip(trials, origins, strict=True):
            number = trial.number
            learn(sorted((behind | {number - 1} if number else behind) - set(origin.unknown)))
            behind = (behind | {number}) - learnt
            opened = self._knowledge.open(number)
            if self._proposer.replays:
                given = self._given(enqueued) if origin.enqueued else {}
                self._proposer.propose(self._knowledge.study, opened, number, position, given)
            enqueued += origin.enqueued
            position = max(position, origin.position)
            self._knowledge.choose(number, self._knowledge.params(trial.config))
        learn(sorted(behind - hidden))

    # -- inside -------------------------------------------------------------------------------

    def _ask(self) -> None:
        self._unknown = tuple(sorted(self._running))
        number, position = len(self._record), self._position
        index = self._enqueued
        given = self._given(index)

        def draw() -> Proposal | None:
            opened = self._knowledge.open(number)
            study = self._knowledge.study
            try:
                return self._proposer.propose(study, opened, number, position, given)
            except StudyFailed as failure:
                if not given:
                    raise
                message = f"search.enqueue.{index}: {failure.message}"
                raise StudyFailed(message, "give it other values") from None

        self._ahead = self._do(draw)

    def _given(self, index: int) -> Mapping[str, float]:
        return self._enqueue[index] if index < len(self._enqueue) else {}

    def _look_on(self) -> None:
        self._more = self._proposer.has_next(self._position)

    def _do(self, what: Callable[..., R], *args: Any) -> Future[R]:
        """Queues work for the thread; after a failure nothing more is done there."""

        def guarded() -> R:
            if self._failure is not None:
                raise self._failure
            try:
                return what(*args)
            except BaseException as failure:
                self._failure = failure
                raise

        return self._thread.submit(guarded)


def _tried(trials: Sequence[TrialRecord], origins: Sequence[Origin], extension: int) -> set[str]:
    """Configs of trials from before the space grew."""
    return {
        json.dumps(trial.config, sort_keys=True)
        for trial, origin in zip(trials, origins, strict=True)
        if origin.extension < extension
    }
