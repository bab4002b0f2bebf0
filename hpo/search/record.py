"""The record: a study's durable truth, kept as an Optuna study in a journal.

A trial is opened by one operation, config and all. What belongs to its end is several, written as
one group: a crash leaves all of them or, at the very end of a file, a prefix that the next start
completes: a trial whose outcome is written but not told is told.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, TrialState

from hpo.budget import Spending
from hpo.errors import InputError
from hpo.records import Objectives, Outcome, State, TrialRecord
from hpo.search.journal.base import Journal
from hpo.search.samplers import Proposal, to_optuna
from hpo.space import Parameter

_NAME = "study"

# Keys of what we keep beside Optuna's own parameters and reports.
_NUMBER = "hpo:number"  # which Optuna only implies
_CONFIG = "hpo:config"
_PARAMS = "hpo:params"
_ORIGIN = "hpo:origin"
_PRUNE = "hpo:prune"
_OUTCOME = "hpo:outcome"
_SPENT = "hpo:spent"

# Optuna's state for each of ours. A diverged trial is complete, with a bad value and a violated
# constraint: told as failed, samplers would ignore it and walk into the same wall again.
_TOLD = {
    State.COMPLETE: TrialState.COMPLETE,
    State.PRUNED: TrialState.PRUNED,
    State.DIVERGED: TrialState.COMPLETE,
    State.OUT_OF_MEMORY: TrialState.COMPLETE,
    State.FAILED: TrialState.FAIL,
}


@dataclass(frozen=True, slots=True)
class Origin:
    """How a trial's config came about.

    Args:
        draws: points drawn until the config model accepted one.
        position: in the sequence, for samplers that go through one; otherwise -1.
        unknown: earlier trials whose results the sampler did not know.
        enqueued: whether it was asked for by the study file.
        extension: how often the space had grown by then.
    """

    draws: int = 1
    position: int = -1
    unknown: tuple[int, ...] = ()
    enqueued: bool = False
    extension: int = 0


class Record:
    """One study's trials. A single process writes at a time; the study's lock sees to that.

    Args:
        journal: where they are kept.
        objectives: what the study is about.
        pruner: judges reports; `None` for readers.

    Raises:
        InputError: the journal is damaged.
    """

    def __init__(
        self,
        journal: Journal,
        objectives: Objectives,
        pruner: optuna.pruners.BasePruner | None = None,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.objectives = objectives
        self._journal = journal
        # Draws are made elsewhere; without a sampler of its own a study would make a costly one.
        sampler = optuna.samplers.RandomSampler()
        try:
            self._storage = JournalStorage(journal)
            self._study = (
                optuna.load_study(
                    study_name=_NAME, storage=self._storage, sampler=sampler, pruner=pruner
                )
                if pruner is None or journal.begun  # without its beginning it has no study
                else optuna.create_study(
                    study_name=_NAME,
                    storage=self._storage,
                    directions=[objective.direction for objective in objectives],
                    sampler=sampler,
                    pruner=pruner,
                )
            )
        except (AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
            how = f"its operations make no study: {type(error).__name__}: {error}"
            raise _damaged(how) from None
        self._judging = _Judging(_NAME, self._storage, sampler, pruner)
        self._id = self._storage.get_study_id_from_name(_NAME)
        self._count = 0
        self._worst: list[float | None] = [None] * len(objectives)
        for trial in self._all():
            if trial.user_attrs.get(_NUMBER) != self._count:
                raise _damaged(f"trial {self._count} is missing, or stands at another place")
            self._count += 1
            self._see(trial.intermediate_values.values())
            for i, value in enumerate(trial.values or ()):
                self._see([value], i)
        if pruner is not None:
            self._complete_interrupted()

    def close(self) -> None:
        self._journal.close()

    def __len__(self) -> int:
        return self._count

    def trials(self) -> list[TrialRecord]:
        """Every trial, by number."""
        return [self._read(trial) for trial in self._all()]

    def trial(self, number: int) -> TrialRecord:
        return self._read(self.told(number))

    def told(self, number: int) -> FrozenTrial:
        """A trial as Optuna is told of it."""
        return self._storage.get_trial(self._trial_id(number))

    def origin(self, number: int) -> Origin:
        return _origin(self.told(number))

    def curves(self) -> dict[int, Mapping[int, float]]:
        """The first objective by step, of every trial that has reported."""
        return {t.number: t.intermediate_values for t in self._all() if t.intermediate_values}

    def open(
        self, proposal: Proposal, origin: Origin, parameters: Mapping[str, Parameter]
    ) -> TrialRecord:
        """Opens the next trial, by one operation."""
        params, distributions = to_optuna(parameters, proposal.draw.params)
        template = optuna.trial.create_trial(
            state=TrialState.RUNNING,
            params=params,
            distributions=distributions,
            user_attrs={
                _NUMBER: self._count,
                _CONFIG: proposal.draw.config,
                _PARAMS: dict(proposal.draw.params),
                _ORIGIN: asdict(origin),
            },
        )
        self._storage.create_new_trial(self._id, template)
        self._count += 1
        return self.trial(self._count - 1)

    def report(self, number: int, step: int, value: float) -> bool:
        """Notes the first objective at one step.

        Returns:
            whether the pruner ends the trial.
        """
        trial_id = self._trial_id(number)
        with self._journal.batch():
            self._storage.set_trial_intermediate_value(trial_id, step, value)
            self._see([value])
            trial = self._storage.get_trial(trial_id)
            if _PRUNE in trial.user_attrs:
                return True  # decided before a crash; a pruner does not judge the same rung twice
            if not math.isfinite(value):
                return False  # diverged, which is not for the pruner to say
            prune = self._judging.pruner.prune(self._judging, trial)
            if prune:
                self._storage.set_trial_user_attr(trial_id, _PRUNE, True)
            return prune

    def finish(
        self,
        number: int,
        outcome: Outcome,
        values: Sequence[float],
        seconds: float = 0.0,
        same_as: int | None = None,
        spent: Spending | None = None,
    ) -> TrialRecord:
        """Closes a trial. A trial that is closed already stays as it is.

        Args:
            values: of the objectives, for trials that are complete or pruned.
            seconds: that workers spent on it.
            same_as: the trial whose result this one is given.
            spent: by the whole study, this trial included.
        """
        trial_id = self._trial_id(number)
        if not self._storage.get_trial(trial_id).state.is_finished():
            note = {
                "state": outcome.state.value,
                "reason": outcome.reason,
                "values": list(values),
                "metrics": {k: v for k, v in outcome.metrics.items() if math.isfinite(v)},
                "seconds": seconds,
                "same_as": same_as,
            }
            with self._journal.batch():
                self._storage.set_trial_user_attr(trial_id, _OUTCOME, note)
                self._tell(trial_id, outcome.state, values)
                if spent is not None:
                    self.spend(spent)
        return self.trial(number)

    def spend(self, spent: Spending) -> None:
        """Notes what the study has spent."""
        self._storage.set_study_user_attr(self._id, _SPENT, asdict(spent))

    @property
    def spent(self) -> Spending:
        noted = self._storage.get_study_user_attrs(self._id).get(_SPENT)
        if noted is None:
            return Spending()
        busy = {State(state): seconds for state, seconds in noted["busy_seconds"].items()}
        unfinished = {int(number): seconds for number, seconds in noted["unfinished"].items()}
        return Spending(**{**noted, "busy_seconds": busy, "unfinished": unfinished})

    def _complete_interrupted(self) -> None:
        for trial in self._all():
            note = trial.user_attrs.get(_OUTCOME)
            if note is not None and not trial.state.is_finished():
                with self._journal.batch():
                    self._tell(trial._trial_id, State(note["state"]), note["values"])

    def _tell(self, trial_id: int, state: State, values: Sequence[float]) -> None:
        told = _TOLD[state]
        if state in (State.DIVERGED, State.OUT_OF_MEMORY):
            values = self._as_bad_as_seen()
            for key, value in constraint_attrs({state.value: 1.0}).items():
                self._storage.set_trial_system_attr(trial_id, key, value)
        for i, value in enumerate(values):
            self._see([value], i)
        self._storage.set_trial_state_values(trial_id, told, list(values) or None)

    def _as_bad_as_seen(self) -> list[float]:
        """The worst finite value of each objective so far; infinitely bad if there is none."""
        return [
            math.inf * objective.rank(1.0) if worst is None else worst
            for objective, worst in zip(self.objectives, self._worst, strict=True)
        ]

    def _see(self, values: Iterable[float], objective: int = 0) -> None:
        rank = self.objectives[objective].rank
        for value in values:
            worst = self._worst[objective]
            if math.isfinite(value) and (worst is None or rank(value) > rank(worst)):
                self._worst[objective] = value

    def _all(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _trial_id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._id, number)

    def _read(self, trial: FrozenTrial) -> TrialRecord:
        note: dict[str, Any] = trial.user_attrs.get(_OUTCOME, {})
        started = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
        finished = None
        if trial.datetime_complete:  # a clock that was set back must not end it before its start
            finished = max(trial.datetime_complete.timestamp(), started)
        return TrialRecord(
            number=trial.number,
            state=State(note.get("state", State.RUNNING)),
            config=trial.user_attrs[_CONFIG],
            params=trial.user_attrs[_PARAMS],
            values=tuple(note.get("values", ())),
            metrics=note.get("metrics", {}),
            reason=note.get("reason", ""),
            started=started,
            finished=finished,
            steps=trial.last_step or 0,
            seconds=note.get("seconds", 0.0),
            draws=_origin(trial).draws,
            same_as=_same_as(trial),
        )


def _damaged(how: str) -> InputError:
    return InputError(
        f"the record is damaged: {how}",
        "put it back from a copy, or remove the study's folder to start anew",
    )


class _Judging(optuna.Study):
    """What pruners compare a trial with: no trial whose value is not of its own making."""

    def get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        found = super().get_trials(deepcopy, states)
        return [t for t in found if not (t.constraints or _same_as(t) is not None)]


def _same_as(trial: FrozenTrial) -> int | None:
    note: dict[str, int | None] = trial.user_attrs.get(_OUTCOME, {})
    return note.get("same_as")


def constraint_attrs(constraints: Mapping[str, float]) -> Mapping[str, Any]:
    """Constraints as a storage keeps them; above 0 is violated."""
    blank = optuna.trial.create_trial(state=TrialState.RUNNING, constraints=dict(constraints))
    return blank.system_attrs


def _origin(trial: FrozenTrial) -> Origin:
    noted = trial.user_attrs[_ORIGIN]
    return Origin(**{**noted, "unknown": tuple(noted["unknown"])})
