"""From a search space and the trials so far to the next config.

Optuna's samplers are used through their public interface, with a fresh one for every draw, seeded
from (study seed, trial number, attempt): a study that is continued draws what it would have drawn.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from hpo.errors import StudyFailed
from hpo.search import grid
from hpo.search.settings import SearchSettings
from hpo.seeds import derive
from hpo.space import Choices, Draw, Parameter, Space

ATTEMPTS = 1000
"""Draws of one trial before giving up. With 5 % of the space valid, one trial in 10**22 fails."""

RANDOM_AFTER = 10
"""A model that keeps proposing what the space rejects is set aside after so many draws."""

OpenTrial = Callable[[], tuple[optuna.Study, optuna.trial.FrozenTrial]]
"""Opens the next trial in the record, without parameters yet."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A valid point.

    Args:
        number: the trial's.
        draws: how many points were drawn to find it; all but the last were rejected by the model.
        position: how far in the grid it lies; for other samplers, -1.
    """

    number: int
    draw: Draw
    draws: int = 1
    position: int = -1


class Proposer(ABC):
    """What comes next."""

    def __init__(self, space: Space, seed: int) -> None:
        self.space = space
        self.seed = seed

    def has_next(self, last_position: int) -> bool:
        """Whether anything is left to try after the trial at `last_position`."""
        return True

    @abstractmethod
    def propose(self, open_trial: OpenTrial, last_position: int) -> Proposal | None:
        """Opens a trial and finds a point for it.

        Args:
            last_position: of the trial before, -1 for the first.

        Returns:
            `None`, and no trial opened, when there is nothing left to try.

        Raises:
            StudyFailed: no valid point was found.
        """


class Grid(Proposer):
    """Every point of the grid that the model accepts, in order."""

    def __init__(self, space: Space, seed: int) -> None:
        super().__init__(space, seed)
        self._found: dict[int, tuple[int, Draw] | None] = {}  # by the position before it

    def has_next(self, last_position: int) -> bool:
        return self._next(last_position) is not None

    def propose(self, open_trial: OpenTrial, last_position: int) -> Proposal | None:
        found = self._next(last_position)
        if found is None:
            return None
        index, drawn = found
        _, trial = open_trial()
        return Proposal(trial.number, drawn, index - last_position, index)

    def _next(self, last_position: int) -> tuple[int, Draw] | None:
        if last_position not in self._found:  # asked often, and the model may reject very many
            self._found = {last_position: self._search(last_position)}
        return self._found[last_position]

    def _search(self, last_position: int) -> tuple[int, Draw] | None:
        for index in range(last_position + 1, grid.size(self.space.root)):
            drawn = grid.point(self.space.root, index)
            if self.space.rejects(drawn.config) is None:
                return index, drawn
        return None


class Sampled(Proposer):
    """One of Optuna's samplers; a draw that the model rejects is drawn again with another seed."""

    def __init__(
        self, space: Space, seed: int, make: Callable[[int], optuna.samplers.BaseSampler]
    ) -> None:
        super().__init__(space, seed)
        self.make = make

    def propose(self, open_trial: OpenTrial, last_position: int) -> Proposal | None:
        study, trial = open_trial()
        for attempt in range(ATTEMPTS):
            make = self.make if attempt < RANDOM_AFTER else _random
            drawn = self._draw(study, trial, make(derive(self.seed, trial.number, attempt)))
            why = self.space.rejects(drawn.config)
            if why is None:
                return Proposal(trial.number, drawn, attempt + 1)
        raise StudyFailed(
            f"no valid config was found in {ATTEMPTS} draws; the last was rejected: {why}",
            "narrow the ranges to what the model accepts",
        )

    def _draw(
        self,
        study: optuna.Study,
        trial: optuna.trial.FrozenTrial,
        sampler: optuna.samplers.BaseSampler,
    ) -> Draw:
        relative_space = sampler.infer_relative_search_space(study, trial)
        relative = sampler.sample_relative(study, trial, relative_space)

        def choose(parameter: Parameter) -> float:
            where = distribution(parameter)
            if parameter.name in relative and relative_space[parameter.name] == where:
                value = relative[parameter.name]
            else:
                value = sampler.sample_independent(study, trial, parameter.name, where)
            return _as_chosen(parameter, value)

        return self.space.draw(choose)


def proposer(space: Space, settings: SearchSettings) -> Proposer:
    """The proposer that a study file names."""
    match settings.sampler:
        case "grid":
            return Grid(space, settings.seed)
        case "random":
            return Sampled(space, settings.seed, _random)
        case "tpe":
            return Sampled(space, settings.seed, _tpe)


def _random(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.RandomSampler(seed=seed)


def _tpe(seed: int) -> optuna.samplers.BaseSampler:
    # `group` models the parameters of each branch together: without it a space with branches is
    # modelled one parameter at a time. Optuna calls it experimental.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True)


def _as_chosen(parameter: Parameter, value: Any) -> float:
    return parameter.labels.index(value) if isinstance(parameter, Choices) else value


def distribution(parameter: Parameter) -> BaseDistribution:
    """The parameter as Optuna's distribution; choices go by their labels."""
    if isinstance(parameter, Choices):
        return CategoricalDistribution(parameter.labels)
    if parameter.integer:
        step = int(parameter.step or 1)
        return IntDistribution(int(parameter.low), int(parameter.high), parameter.log, step)
    return FloatDistribution(parameter.low, parameter.high, parameter.log, parameter.step)
