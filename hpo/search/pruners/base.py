"""What every pruner can say of itself."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hpo.lazy import lazy
from hpo.settings import Settings

if TYPE_CHECKING:
    import optuna
else:
    optuna = lazy("optuna")

Rungs = list[tuple[int, float]]
"""Steps at which trials are compared, and the share of them that goes on from each."""


class Pruner(Settings):
    """Which trials end early. It judges the reports of one objective, all of them finite."""

    @abstractmethod
    def make(self) -> optuna.pruners.BasePruner:
        """The one that decides."""

    def rungs(self, max_steps: int) -> Rungs:
        """Where trials of `max_steps` steps are compared; empty if not with each other."""
        return []


@contextmanager
def experimental() -> Iterator[None]:
    """Optuna warns of parts whose interface may change; the version of Optuna is bounded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def geometric(min_steps: int, reduction_factor: int, max_steps: int) -> Rungs:
    """Rungs at `min_steps * reduction_factor ** k`."""
    rungs: Rungs = []
    step = min_steps
    while step <= max_steps:
        rungs.append((step, 1 / reduction_factor))
        step *= reduction_factor
    return rungs
