"""How many workers there should be, as Ray Tune asks for them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from ray.tune.search import Searcher

from hpo.checkpoints import Checkpoints
from hpo.execute import nodes
from hpo.execute.channel import Supervised
from hpo.execute.settings import ResourceSettings
from hpo.execute.share import Share

RECOUNT_S = 1.0
"""Between two looks at how many workers the nodes have room for, and how many of them are ours."""


class Wanted:
    """How many workers there should be now: nodes come and go while a study runs, and so do studies
    that share them. What the study file says is the most there will be.
    """

    def __init__(self, settings: ResourceSettings, checkpoints: Checkpoints, share: Share) -> None:
        self._settings = settings
        self._checkpoints = checkpoints
        self._share = share
        self._count = 0
        self._due = -math.inf

    def __call__(self) -> int:
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + RECOUNT_S
            usable = nodes.usable(self._checkpoints)
            count = self._share(sum(node.room(self._settings) for node in usable))
            self._count = min(count, self._settings.workers or count)
        return self._count


class Tickets(Searcher):
    """Hands Tune one ticket for every worker that should be there."""

    def __init__(self, coordinator: Supervised, wanted: Callable[[], int]) -> None:
        super().__init__(metric="none", mode="min")
        self.coordinator = coordinator
        self._wanted = wanted
        self._out: set[str] = set()

    def suggest(self, trial_id: str) -> Any:
        if len(self._out) >= self._wanted():
            return None
        if self.coordinator.work_left():
            self._out.add(trial_id)
            return {"worker": trial_id}
        return Searcher.FINISHED if self.coordinator.finished() else None

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        self._out.discard(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the record is the truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""
