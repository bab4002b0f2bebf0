"""Bayesian optimization with a Gaussian process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import optuna
from optuna.samplers import BaseSampler, GPSampler, RandomSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.search.samplers.sampled import Group, Random


class Gp(Random):
    """Expected improvement under a Gaussian process with a Matern kernel, or of the hypervolume.

    The kernel is fitted anew for every draw, at a cost that grows with the cube of the number of
    trials: about a second at a few hundred. Parameters inside a branch are drawn at random.

    Reference: Ament et al., Unexpected Improvements to Expected Improvement for Bayesian
    Optimization, NeurIPS 2023.
    """

    random_after: ClassVar[int] = 2  # where the improvement is expected hardly depends on the seed

    def sampler(self, seed: int) -> BaseSampler:
        return GPSampler(seed=seed, warn_independent_sampling=False)

    def groups(self) -> list[Group]:
        return [self.always_active()]

    def shown(self, study: optuna.Study, trial: FrozenTrial) -> tuple[optuna.Study, FrozenTrial]:
        """A study of its own: Optuna's wants the same constraints on all trials or on none."""
        shown = optuna.create_study(directions=study.directions, sampler=RandomSampler())
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        succeeded = [other for other in complete if feasible(other)]
        if succeeded:  # before that, there is no objective to model
            constrained = len(succeeded) < len(complete)
            worst = _worst(succeeded, study.directions)
            for other in complete:
                shown.add_trial(_with_constraint(other, worst) if constrained else other)
        for other in running:
            if other.number != trial.number:
                shown.add_trial(other)
        number = shown.ask().number
        return shown, shown.get_trials(deepcopy=False)[number]


def feasible(trial: FrozenTrial) -> bool:
    """False of a trial that diverged, failed or ran out of memory."""
    return all(value <= 0 for value in trial.constraints.values())


def _worst(trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]) -> list[float]:
    """The worst value of each objective."""
    columns = zip(*(trial.values for trial in trials), strict=True)
    return [
        (max if direction is StudyDirection.MINIMIZE else min)(values)
        for direction, values in zip(directions, columns, strict=True)
    ]


def _with_constraint(trial: FrozenTrial, worst: Sequence[float]) -> FrozenTrial:
    """The trial with one constraint: below 0 if it succeeded, above if it diverged."""
    succeeded = feasible(trial)
    return create_trial(
        params=trial.params,
        distributions=trial.distributions,
        values=trial.values if succeeded else worst,
        constraints={"diverged": -1.0 if succeeded else 1.0},
    )
