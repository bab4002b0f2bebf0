"""A study's knowledge and its proposals, without a record: opened again, it goes on."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import TrialState
from pydantic import BaseModel, Field, model_validator

from hpo.records import State
from hpo.search.pruners import NoPruner, PrunerSettings
from hpo.search.samplers import Proposal, proposer, to_optuna
from hpo.search.settings import SamplerName, SearchSettings
from hpo.space import Space, check, parse

optuna.logging.set_verbosity(optuna.logging.ERROR)

SQUARE = {"x": {"low": 0.0, "high": 1.0}, "y": {"low": 0.0, "high": 1.0}}

BRANCHES = {
    "lr": {"low": 1e-4, "high": 1.0, "log": True},
    "width": {"low": 8, "high": 64, "step": 8},
    "act": {"choices": ["relu", "tanh"]},
    "optimizer": {
        "choices": [
            {"kind": "sgd", "momentum": {"low": 0.0, "high": 0.9}},
            {"kind": "adam", "beta": {"choices": [0.9, 0.99]}, "eps": 1e-8},
        ]
    },
}


NOTHING_PRUNED = NoPruner()


class BelowTheDiagonal(BaseModel):
    """Rejects half of its square."""

    x: float = Field(ge=0, le=1)
    y: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _below(self) -> BelowTheDiagonal:
        if self.x + self.y > 1:
            raise ValueError("x + y must be at most 1")
        return self


def make_space(tree: dict[str, Any], model: type[BaseModel] | None = None) -> Space:
    return check(parse(json.dumps(tree), "s.yaml"), model)


@dataclass(frozen=True)
class Event:
    """Trial `number` was drawn (`state` is `None`) or ended."""

    number: int
    state: State | None = None
    values: tuple[float, ...] = ()


class Known:
    """Keeps a study in memory as a coordinator would: every trial that was drawn or has ended."""

    def __init__(
        self,
        sampler: SamplerName,
        tree: dict[str, Any],
        *,
        model: type[BaseModel] | None = None,
        seed: int = 0,
        directions: tuple[str, ...] = ("minimize",),
        pruner: PrunerSettings = NOTHING_PRUNED,
        earlier: Callable[[optuna.Study], None] = lambda study: None,
    ) -> None:
        self._made = (sampler, tree)
        self._options = {
            "model": model,
            "seed": seed,
            "directions": directions,
            "pruner": pruner,
            "earlier": earlier,
        }
        self.space = make_space(tree, model)
        self.study = optuna.create_study(
            study_name="study", directions=directions, sampler=optuna.samplers.RandomSampler()
        )
        earlier(self.study)
        self.offset = len(self.study.trials)
        search = SearchSettings(sampler=sampler, seed=seed)
        self.proposer = proposer(self.space, search, objectives=len(directions), pruner=pruner)
        self.proposals: list[Proposal] = []
        self.given: list[Mapping[str, float]] = []
        self.events: list[Event] = []

    def ask(self, given: Mapping[str, float] | None = None) -> Proposal | None:
        last = self.proposals[-1].position if self.proposals else -1
        if not self.proposer.has_next(last):
            return None
        number = len(self.proposals)
        proposal = self.proposer.propose(self.study, self._open(), number, last, given or {})
        assert proposal is not None
        self._keep(proposal, given or {})
        return proposal

    def tell(self, number: int, state: State, values: tuple[float, ...] = ()) -> None:
        self.events.append(Event(number, state, values))
        at = self.offset + number
        match state:
            case State.COMPLETE:
                self.study.tell(at, values)
            case State.PRUNED:
                self._trial(at).report(values[0], 1)
                self.study.tell(at, state=TrialState.PRUNED)
            case State.DIVERGED:
                self._trial(at).set_constraint("diverged", 1.0)
                self.study.tell(at, self._worst())
            case State.FAILED:
                self.study.tell(at, state=TrialState.FAIL)

    def reopen(self) -> Known:
        """Another one, from what was written down: proposals and events."""
        sampler, tree = self._made
        other = Known(sampler, tree, **self._options)  # type: ignore[arg-type]
        for event in self.events:
            if event.state is not None:
                other.tell(event.number, event.state, event.values)
            elif other.proposer.replays:
                other.ask(self.given[event.number])
            else:
                other._open()
                other._keep(self.proposals[event.number], self.given[event.number])
        return other

    def configs(self) -> list[Any]:
        return [proposal.draw.config for proposal in self.proposals]

    def run(
        self,
        trials: int,
        objective: Callable[[Any], tuple[float, ...]],
        *,
        accidents: bool = True,
    ) -> None:
        """Runs to so many in all, one after the other.

        A trial whose objective is not finite diverges; by accident, so does every seventh, and
        every eleventh fails.
        """
        while len(self.proposals) < trials:
            number = len(self.proposals)
            proposal = self.ask()
            if proposal is None:
                return
            values = objective(proposal.draw.config)
            if (accidents and number % 7 == 3) or not all(map(math.isfinite, values)):
                self.tell(number, State.DIVERGED)
            elif accidents and number % 11 == 5:
                self.tell(number, State.FAILED)
            else:
                self.tell(number, State.COMPLETE, values)

    def _open(self) -> optuna.trial.FrozenTrial:
        number = self.study.ask().number
        return self.study.get_trials(deepcopy=False)[number]

    def _keep(self, proposal: Proposal, given: Mapping[str, float]) -> None:
        number = len(self.proposals)
        self.events.append(Event(number))
        self.proposals.append(proposal)
        self.given.append(given)
        parameters = {here.parameter.name: here.parameter for here in self.space.parameters}
        params, distributions = to_optuna(parameters, proposal.draw.params)
        trial_id = self.study.get_trials(deepcopy=False)[self.offset + number]._trial_id
        for name, value in params.items():
            where = distributions[name]
            internal = where.to_internal_repr(value)
            self.study._storage.set_trial_param(trial_id, name, internal, where)

    def _trial(self, at: int) -> optuna.Trial:
        return optuna.Trial(self.study, self.study.get_trials(deepcopy=False)[at]._trial_id)

    def _worst(self) -> list[float]:
        complete = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if not complete:
            return [0.0] * len(self.study.directions)
        columns = zip(*(trial.values for trial in complete), strict=True)
        return [
            max(values) if direction is optuna.study.StudyDirection.MINIMIZE else min(values)
            for direction, values in zip(self.study.directions, columns, strict=True)
        ]
