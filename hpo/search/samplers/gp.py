"""Bayesian optimization with a Gaussian process."""

from __future__ import annotations

from collections.abc import Sequence

import optuna
from optuna.samplers import BaseSampler, GPSampler, RandomSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.search.samplers.sampled import Group, Random

_INFEASIBLE = "infeasible"


class Gp(Random):
    """Expected improvement under a Gaussian process with a Matern kernel, or of the hypervolume.

    The kernel is fitted anew for every draw, at a cost that grows with the cube of the number of
    trials: about a second at a few hundred. Parameters inside a branch are drawn at random.

    Reference: Ament et al., Unexpected Improvements to Expected Improvement for Bayesian
    Optimization, NeurIPS 2023.
    """

    def sampler(self, seed: int) -> BaseSampler:
        return GPSampler(seed=seed, warn_independent_sampling=False)

    def groups(self) -> list[Group]:
        return [self.always_active()]

    def shown(self, study: optuna.Study, trial: FrozenTrial) -> tuple[optuna.Study, FrozenTrial]:
        """A study of its own: Optuna's wants the same constraints on all trials or on none."""
        shown = optuna.create_study(directions=study.directions, sampler=RandomSampler())
        known = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.RUNNING))
        constrained = any(not _feasible(t) for t in known)
        worst = _worst([t for t in known if _feasible(t)], study.directions)
        for other in known:
            if other.number == trial.number:
                continue
            complete = other.state is TrialState.COMPLETE
            feasible = _feasible(other)
            shown.add_trial(
                create_trial(
                    state=other.state,
                    params=other.params,
                    distributions=other.distributions,
                    values=(other.values if feasible else worst) if complete else None,
                    # Around the bound 0, so that the model of the constraint is sure of itself
                    # where trials succeeded.
                    constraints={_INFEASIBLE: -1.0 if feasible else 1.0}
                    if complete and constrained
                    else None,
                )
            )
        number = shown.ask().number
        return shown, shown.get_trials(deepcopy=False)[number]


def _feasible(trial: FrozenTrial) -> bool:
    return all(value <= 0 for value in trial.constraints.values())


def _worst(trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]) -> list[float]:
    """The worst value of each objective; 0 where there is none."""
    complete = [trial.values for trial in trials if trial.state is TrialState.COMPLETE]
    return [
        (max if direction is StudyDirection.MINIMIZE else min)(
            (values[i] for values in complete), default=0.0
        )
        for i, direction in enumerate(directions)
    ]
