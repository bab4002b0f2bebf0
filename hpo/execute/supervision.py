"""Looks after the workers that Ray Tune has placed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import ray
from ray import tune

from hpo.errors import first_line
from hpo.execute import nodes
from hpo.execute.channel import Supervised

log = logging.getLogger(__name__)


class Workers(tune.Callback):
    """Tells the coordinator which workers ended and how many there may be, and kills those that it
    gives up.

    Use as a context manager around the run.
    """

    def __init__(
        self, coordinator: Supervised, wanted: Callable[[], int], every_seconds: float
    ) -> None:
        self._coordinator = coordinator
        self._wanted = wanted
        self._every_seconds = every_seconds
        self._alive: dict[str, Any] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="hpo-workers", daemon=True)

    def __reduce__(self) -> tuple[type[Workers], tuple[Supervised, Callable[[], int], float]]:
        # Tune writes down what it was given.
        return Workers, (self._coordinator, self._wanted, self._every_seconds)

    def __enter__(self) -> Workers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def any(self) -> bool:
        """Whether there is one; those that wait for room on a node are none yet."""
        return bool(self._alive)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._alive[trial.trial_id] = trial

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._alive.pop(trial.trial_id, None)
        self._coordinator.worker_ended(trial.trial_id, died=False)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._alive.pop(trial.trial_id, None)
        node = self._coordinator.node_of(trial.trial_id)
        # A node that vanished took its workers along, and none of their trials is to blame.
        vanished = node is not None and node not in {each.id for each in nodes.alive()}
        self._coordinator.worker_ended(trial.trial_id, died=not vanished)

    def _watch(self) -> None:
        while not self._over.wait(self._every_seconds):
            alive = dict(self._alive)
            try:
                self._coordinator.limit_workers(self._wanted())
                for worker in self._coordinator.overdue(list(alive)):
                    actor = alive[worker].temporary_state.ray_actor if worker in alive else None
                    if actor is not None:
                        ray.kill(actor)
            except Exception as error:  # the coordinator is being started again, for example
                log.info("workers could not be looked after: %s", first_line(error))


class Over(tune.Stopper):
    """Ends the run when no worker is left and none is needed, though there be some that wait for
    room: the nodes that had it may never come back."""

    def __init__(self, workers: Workers, coordinator: Supervised) -> None:
        self._workers = workers
        self._coordinator = coordinator

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return not self._workers.any and self._coordinator.finished()
