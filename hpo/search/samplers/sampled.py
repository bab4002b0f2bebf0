"""Optuna's samplers, with a fresh one for every draw.

It is seeded from (study seed, trial number, attempt), so a study that is continued draws what it
would have drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial

from hpo.search.samplers.base import ATTEMPTS, Proposal, Proposer, nothing_valid
from hpo.search.samplers.encoding import distribution, from_optuna, optuna_name
from hpo.seeds import derive
from hpo.space import Choices, Draw, Parameter, Space

Group = dict[str, BaseDistribution]
"""Parameters that are drawn together, by Optuna's names."""


class Random(Proposer):
    """Independent draws, and the frame for the samplers that learn.

    A draw that the config model rejects is drawn again with another seed.

    Attributes:
        random_after: a sampler that keeps proposing what is rejected is set aside after so many
            draws of one trial, and the rest are random.
    """

    random_after: ClassVar[int] = 10

    def __init__(self, space: Space, seed: int) -> None:
        super().__init__(space, seed)
        parameters = [here.parameter for here in space.parameters]
        self._distributions = {optuna_name(p): distribution(p) for p in parameters}
        self._groups = self.groups()
        self._group_of = {name: group for group in self._groups for name in group}

    def sampler(self, seed: int) -> BaseSampler:
        """The one for a single draw."""
        return RandomSampler(seed=seed)

    def groups(self) -> list[Group]:
        """What is drawn together; a parameter in no group is drawn on its own."""
        return []

    def shown(self, study: optuna.Study, trial: FrozenTrial) -> tuple[optuna.Study, FrozenTrial]:
        """The study and the trial as the sampler sees them."""
        # An Optuna study keeps the list of trials that it read first; a new object reads it anew.
        name, storage = study.study_name, study._storage
        return optuna.load_study(study_name=name, storage=storage, sampler=RandomSampler()), trial

    def propose(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        number: int,
        last_position: int,
        given: Mapping[str, float],
    ) -> Proposal | None:
        study, trial = self.shown(study, trial)
        for draws in range(1, ATTEMPTS + 1):
            seed = derive(self.seed, number, draws - 1)
            learned = draws <= self.random_after
            sampler = self.sampler(seed) if learned else RandomSampler(seed=seed)
            drawn, chose = self._draw(study, trial, sampler, given)
            why = self.space.rejects(drawn.config)
            if why is None:
                return Proposal(drawn, draws)
            if not chose:
                break  # all of it was given: another draw would change nothing
        raise nothing_valid(draws, why)

    def _draw(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        sampler: BaseSampler,
        given: Mapping[str, float],
    ) -> tuple[Draw, bool]:
        """A point, and whether the sampler chose any of it."""
        together: dict[str, Any] = {}
        done: set[str] = set()
        chose = False

        def draw_together(group: Group) -> None:
            done.update(group)
            together.update(sampler.sample_relative(study, trial, group))

        def choose(parameter: Parameter) -> float:
            nonlocal chose
            if parameter.name in given:
                return given[parameter.name]
            if isinstance(parameter, Choices) and len(parameter.options) == 1:
                return 0
            chose = True
            name = optuna_name(parameter)
            if name in self._group_of and name not in done:
                draw_together(self._group_of[name])
            if name in together:
                return from_optuna(parameter, together[name])
            where = self._distributions[name]
            value = sampler.sample_independent(study, trial, name, where)
            return from_optuna(parameter, value)

        if self.replays:  # the trial belongs to a generation even where all of it is given
            for group in self._groups:
                draw_together(group)
        return self.space.draw(choose), chose

    def always_active(self) -> Group:
        """The parameters that every config has, those with a single value left out."""
        return self.varying(here.parameter for here in self.space.parameters if not here.given)

    def varying(self, parameters: Iterable[Parameter]) -> Group:
        named = ((name, self._distributions[name]) for name in map(optuna_name, parameters))
        return {name: where for name, where in named if not where.single()}
