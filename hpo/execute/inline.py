"""Runs a study's trials one after the other in this process: for debugging and small studies."""

from __future__ import annotations

from dataclasses import replace

from hpo import trainable as trainables
from hpo.execute.channel import Supervised
from hpo.execute.setup import Setup
from hpo.execute.worker import work

WORKER = "inline"


def run(setup: Setup, coordinator: Supervised) -> None:
    """Returns when no trial is left or the study was stopped.

    There is one process and nobody to place it: of the study's `resources` only `pack` applies.
    """
    setup = replace(setup, isolate=False, capture=False, heartbeat_seconds=None, memory_limit=1.0)
    coordinator.began(WORKER, "")
    try:
        work(setup, trainables.load(setup.trainable, setup.folder), coordinator, WORKER)
    finally:
        coordinator.worker_ended(WORKER, died=False)
