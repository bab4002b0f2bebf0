"""The sampler that suits a study, chosen from the study file alone."""

from __future__ import annotations

from collections.abc import Mapping

import optuna
from optuna.trial import FrozenTrial, TrialState

from hpo.search.pruners import NoPruner, PrunerSettings
from hpo.search.rules import too_many_for_gp
from hpo.search.samplers.base import Proposal, Proposer
from hpo.search.samplers.gp import Gp, feasible
from hpo.search.samplers.sequences import Sobol
from hpo.search.samplers.tpe import Tpe
from hpo.space import Space

GP_TRIALS = 300
"""From this number on, fitting a Gaussian process takes longer than it gains. Each objective has a
process of its own, so with several the number is divided among them."""

GP_PARAMETERS = 20
"""Beyond these, the distances that a Gaussian process lives on say little."""

GP_OBJECTIVES = 3
"""The cost of their hypervolume grows steeply with each more."""

WALLED = 0.2
"""Of the trials that a Gaussian process may see diverge. It models loss and divergence as smooth
over the whole space, and stays away from the wall beside which the best configs often are: where a
third diverges (`benchmarks/regret.py`) its median regret is 2.6 times that of TPE."""

LEARNED = (TrialState.COMPLETE, TrialState.PRUNED)


class Auto(Proposer):
    """Quasi-random points first, then a Gaussian process where it fits, and else TPE.

    Which one draws a trial does not depend on how many trials the study is to have, so a study
    that is continued draws what a longer one would have drawn.
    """

    def __init__(self, space: Space, seed: int, objectives: int, pruner: PrunerSettings) -> None:
        super().__init__(space, seed)
        self._first = first(space)
        self._sobol = Sobol(space, seed)
        self._tpe = Tpe(space, seed)
        self._gp = None if against_gp(space, objectives, pruner) else Gp(space, seed)
        self._gp_trials = GP_TRIALS // objectives

    def propose(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        number: int,
        last_position: int,
        given: Mapping[str, float],
    ) -> Proposal | None:
        chosen: Proposer = self._tpe
        learned = study.get_trials(False, LEARNED)
        if number < self._first or len(learned) < self._first // 2:
            chosen = self._sobol
        elif self._gp is not None and number < self._gp_trials:
            diverged = sum(not feasible(other) for other in learned)
            if diverged <= WALLED * len(learned):
                chosen = self._gp
        return chosen.propose(study, trial, number, last_position, given)


def first(space: Space) -> int:
    """How many quasi-random points come first: two for each parameter, from 8 to 24."""
    return min(max(2 * len(space.parameters), 8), 24)


def against_gp(space: Space, objectives: int, pruner: PrunerSettings) -> str | None:
    """Why a Gaussian process would not do."""
    if not isinstance(pruner, NoPruner):
        return "it learns from pruned trials"
    if any(here.given for here in space.parameters):
        return "the space has branches, each with parameters of its own"
    if len(space.parameters) > GP_PARAMETERS:
        return f"the space has more than {GP_PARAMETERS} parameters"
    large = too_many_for_gp(space)
    if large is not None:
        return f"{large.name} has too many values to list"
    if objectives > GP_OBJECTIVES:
        return f"there are more than {GP_OBJECTIVES} objectives"
    return None


def choice(space: Space, objectives: int, pruner: PrunerSettings) -> str:
    """What is chosen, and why, for people."""
    start = f"sampler auto: {first(space)} quasi-random trials, then "
    why = against_gp(space, objectives, pruner)
    if why is not None:
        return f"{start}tpe, since {why}"
    return (
        f"{start}gp, since nothing is pruned and every config has the same parameters; tpe where"
        f" more than {WALLED:.0%} diverge, which gp does not model well, and from trial"
        f" {GP_TRIALS // objectives} on, where gp would be slow"
    )
