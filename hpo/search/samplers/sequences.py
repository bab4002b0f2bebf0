"""Points in a fixed order, a grid or quasi-random: where one stands is all there is to know."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

import optuna
from optuna.trial import FrozenTrial

from hpo.search import grid
from hpo.search.samplers.base import ATTEMPTS, Proposal, Proposer, nothing_valid
from hpo.seeds import derive
from hpo.space import Draw, Parameter, Space


class Grid(Proposer):
    """Every point of the grid that the model accepts, in order.

    Args:
        tried: configs that are passed over, as JSON with sorted keys.
    """

    def __init__(self, space: Space, seed: int, tried: Collection[str] = ()) -> None:
        super().__init__(space, seed)
        self.tried = tried
        self._found: dict[int, Proposal | None] = {}  # by the position before it

    def has_next(self, last_position: int) -> bool:
        return self._next(last_position) is not None

    def propose(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        number: int,
        last_position: int,
        given: Mapping[str, float],
    ) -> Proposal | None:
        assert not given, "a grid tries everything anyway: checked when the study file was read"
        return self._next(last_position)

    def _next(self, last_position: int) -> Proposal | None:
        if last_position not in self._found:  # asked often, and the model may reject very many
            self._found = {last_position: self._search(last_position)}
        return self._found[last_position]

    def _search(self, last_position: int) -> Proposal | None:
        draws = 0
        for position in range(last_position + 1, grid.size(self.space.root)):
            drawn = grid.point(self.space.root, position)
            if json.dumps(drawn.config, sort_keys=True) in self.tried:
                continue
            draws += 1
            if self.space.rejects(drawn.config) is None:
                return Proposal(drawn, draws, position)
        return None


class Sobol(Proposer):
    """Quasi-random points, which leave no such gaps as random ones do: a scrambled Sobol sequence.

    Each parameter has its own dimension, whether or not it is active at a point.

    Reference: Owen, Scrambling Sobol' and Niederreiter-Xing Points, J. of Complexity 14, 1998.
    """

    def __init__(self, space: Space, seed: int) -> None:
        super().__init__(space, seed)
        names = [here.parameter.name for here in space.parameters]
        self._dimension = {name: i for i, name in enumerate(names)}
        self._scramble = derive(seed, "sobol")

    def propose(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        number: int,
        last_position: int,
        given: Mapping[str, float],
    ) -> Proposal | None:
        for draws in range(1, ATTEMPTS + 1):
            position = last_position + draws
            drawn, used = self._point(position, given)
            why = self.space.rejects(drawn.config)
            if why is None:
                return Proposal(drawn, draws, position if used else last_position)
            if not used:
                break  # all of it was given: another point would change nothing
        raise nothing_valid(draws, why)

    def _point(self, position: int, given: Mapping[str, float]) -> tuple[Draw, bool]:
        """The point, and whether any of its coordinates was used."""
        coordinates = self._coordinates(position)
        used = False

        def choose(parameter: Parameter) -> float:
            nonlocal used
            if parameter.name in given:
                return given[parameter.name]
            used = True
            return parameter.from_unit(coordinates[self._dimension[parameter.name]])

        return self.space.draw(choose), used

    def _coordinates(self, position: int) -> list[float]:
        """In [0, 1), one for each parameter."""
        from scipy.stats import qmc  # a second of import, which no other sampler has to pay

        engine = qmc.Sobol(max(len(self._dimension), 1), rng=self._scramble)
        if position:
            engine.fast_forward(position)
        return [float(u) for u in engine.random(1)[0]]
