"""Evolutionary samplers. They keep their state on the trials, which only drawing again restores."""

from __future__ import annotations

import warnings
from typing import ClassVar

from optuna.distributions import CategoricalDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, CmaEsSampler, NSGAIISampler

from hpo.search.samplers.sampled import Group, Random


class Cmaes(Random):
    """Covariance matrix adaptation, for numbers that every config has; the rest is random.

    Whole numbers and steps have a margin, so that none of their values dies out.

    Reference: Hamano et al., CMA-ES with Margin, GECCO 2022.
    """

    replays: ClassVar[bool] = True

    def sampler(self, seed: int) -> BaseSampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # for the margin
            return CmaEsSampler(seed=seed, with_margin=True, warn_independent_sampling=False)

    def groups(self) -> list[Group]:
        return [
            {
                name: where
                for name, where in self.always_active().items()
                if not isinstance(where, CategoricalDistribution)
            }
        ]


class Nsga2(Random):
    """Non-dominated sorting genetic algorithm: crossover and mutation of the trade-offs found.

    With one objective it is a plain genetic algorithm. Parameters inside a branch are random.

    Reference: Deb et al., A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II, IEEE
    Trans. on Evolutionary Computation 6(2), 2002.
    """

    replays: ClassVar[bool] = True

    def sampler(self, seed: int) -> BaseSampler:
        return NSGAIISampler(seed=seed, population_size=POPULATION)

    def groups(self) -> list[Group]:
        return [self.always_active()]


POPULATION = 20
"""Trials of one generation. Optuna's 50 are made for thousands of trials."""
