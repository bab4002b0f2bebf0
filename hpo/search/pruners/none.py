"""No pruning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from hpo.lazy import lazy
from hpo.search.pruners.base import Pruner

if TYPE_CHECKING:
    import optuna
else:
    optuna = lazy("optuna")


class NoPruner(Pruner):
    """Every trial runs to its end."""

    kind: Literal["none"] = "none"

    def make(self) -> optuna.pruners.BasePruner:
        return optuna.pruners.NopPruner()
