"""What a sampler knows: an Optuna study in memory, separate from the record.

It has the trials of earlier studies first, then those of this one, all as points of the present
space, so that a space can grow; and a result comes in only when the draw that is being made is
over, so that a draw depends on nothing but what was known when it began.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import optuna
from optuna.trial import FrozenTrial, TrialState

from hpo.records import Json, Objectives
from hpo.search.record import constraint_attrs
from hpo.search.samplers import to_optuna
from hpo.space import Space, locate

Params = Mapping[str, Json]


class Knowledge:
    """See the module's docstring. One thread at a time.

    Args:
        earlier: trials of other studies as told to Optuna, each with its config in this space.
    """

    def __init__(
        self, space: Space, objectives: Objectives, earlier: Iterable[tuple[Json, FrozenTrial]] = ()
    ) -> None:
        self._space = space
        self._parameters = {here.parameter.name: here.parameter for here in space.parameters}
        self._storage = optuna.storages.InMemoryStorage()
        self.study = optuna.create_study(
            storage=self._storage,
            directions=[objective.direction for objective in objectives],
            sampler=optuna.samplers.RandomSampler(),
        )
        self._objectives = objectives
        self._worst: list[float] | None = None
        self._offset = 0
        for config, told in earlier:
            trial_id = self._open()
            self._choose(trial_id, self.params(config))
            self._learn(trial_id, told)
            self._offset += 1

    def params(self, config: Json) -> Params:
        """The parameters that a config has in the present space.

        Raises:
            OutsideSpace: it is no point of it.
        """
        chosen = locate(self._space.root, config)
        return self._space.draw(lambda parameter: chosen[parameter.name]).params

    def open(self, number: int) -> FrozenTrial:
        """Opens trial `number` of this study, the next, without parameters yet."""
        trial_id = self._open()
        assert trial_id == self._offset + number, "trials are opened in order"
        return self._storage.get_trial(trial_id)

    def choose(self, number: int, params: Params) -> None:
        """Notes what was chosen for a trial that is open."""
        self._choose(self._offset + number, params)

    def learn(self, number: int, told: FrozenTrial) -> None:
        """Notes how a trial ended."""
        self._learn(self._offset + number, told)

    def _open(self) -> int:
        blank = optuna.trial.create_trial(state=TrialState.RUNNING)
        return self._storage.create_new_trial(self.study._study_id, blank)

    def _choose(self, trial_id: int, params: Params) -> None:
        values, distributions = to_optuna(self._parameters, params)
        for name, where in distributions.items():
            internal = where.to_internal_repr(values[name])
            self._storage.set_trial_param(trial_id, name, internal, where)

    def _learn(self, trial_id: int, told: FrozenTrial) -> None:
        for step, value in told.intermediate_values.items():
            self._storage.set_trial_intermediate_value(trial_id, step, value)
        for key, value in constraint_attrs(told.constraints).items():
            self._storage.set_trial_system_attr(trial_id, key, value)
        state, values = told.state, told.values
        if state is TrialState.FAIL:
            # What fails is mostly due to its config. Samplers do not see failures, and where others
            # diverge they would take the place where all fail for the best one left.
            state, values = TrialState.COMPLETE, self._as_bad_as_known()
            for key, value in constraint_attrs({"failed": 1.0}).items():
                self._storage.set_trial_system_attr(trial_id, key, value)
        elif values is not None and not told.constraints:
            worst = self._worst or values
            self._worst = [
                max(pair, key=o.rank)
                for o, *pair in zip(self._objectives, worst, values, strict=True)
            ]
        self._storage.set_trial_state_values(trial_id, state, values)

    def _as_bad_as_known(self) -> list[float]:
        """The worst value of each objective that a trial reached; infinitely bad without any."""
        return self._worst or [math.inf * o.rank(1.0) for o in self._objectives]
