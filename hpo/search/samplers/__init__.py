"""From a search space and the trials so far to the next config."""

from __future__ import annotations

from collections.abc import Collection

from hpo.search.pruners import PrunerSettings
from hpo.search.samplers import auto
from hpo.search.samplers.base import ATTEMPTS, Proposal, Proposer
from hpo.search.samplers.encoding import to_optuna
from hpo.search.samplers.evolution import Cmaes, Nsga2
from hpo.search.samplers.gp import Gp
from hpo.search.samplers.sampled import Random
from hpo.search.samplers.sequences import Grid, Sobol
from hpo.search.samplers.tpe import Tpe
from hpo.search.settings import SearchSettings
from hpo.space import Space

__all__ = [
    "ATTEMPTS",
    "Proposal",
    "Proposer",
    "choice",
    "proposer",
    "to_optuna",
]


def proposer(
    space: Space,
    search: SearchSettings,
    *,
    objectives: int,
    pruner: PrunerSettings,
    tried: Collection[str] = (),
) -> Proposer:
    """The proposer that a study file names.

    Args:
        objectives: how many there are.
        tried: configs that a grid passes over, as JSON with sorted keys.
    """
    seed = search.seed
    match search.sampler:
        case "grid":
            return Grid(space, seed, tried)
        case "random":
            return Random(space, seed)
        case "qmc":
            return Sobol(space, seed)
        case "tpe":
            return Tpe(space, seed)
        case "gp":
            return Gp(space, seed)
        case "cmaes":
            return Cmaes(space, seed)
        case "nsga2":
            return Nsga2(space, seed)
        case "auto":
            return auto.Auto(space, seed, objectives, pruner)


def choice(
    space: Space, search: SearchSettings, *, objectives: int, pruner: PrunerSettings
) -> str | None:
    """What `auto` chose and why, in a sentence; `None` for a sampler that was named."""
    return auto.choice(space, objectives, pruner) if search.sampler == "auto" else None
