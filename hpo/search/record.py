"""The record: a study's durable truth, kept as an Optuna study.

Every change is one group commit, so a crash leaves all of it or, at the very end of the file, a
prefix that the next start completes: a trial opened but without its config is given one by the same
draw, a trial whose outcome is written but not told is told.
"""

from __future__ import annotations

import math
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, TrialState

from hpo.records import Objective, Outcome, State, TrialRecord
from hpo.search.journal import StudyJournal
from hpo.search.samplers import Proposer, distribution
from hpo.space import Space

_NAME = "study"

# Keys of what we keep on a trial beside Optuna's own parameters and reports.
_CONFIG = "hpo:config"
_PARAMS = "hpo:params"
_DRAWS = "hpo:draws"
_POSITION = "hpo:position"
_PRUNE = "hpo:prune"
_OUTCOME = "hpo:outcome"

# Optuna's state for each of ours. A diverged trial is complete, with a bad value and a violated
# constraint: told as failed, samplers would ignore it and walk into the same wall again.
_TOLD = {
    State.COMPLETE: TrialState.COMPLETE,
    State.PRUNED: TrialState.PRUNED,
    State.DIVERGED: TrialState.COMPLETE,
    State.OUT_OF_MEMORY: TrialState.COMPLETE,
    State.FAILED: TrialState.FAIL,
}


class Record:
    """One study's trials. A single process writes at a time; the study's lock sees to that.

    Args:
        journal: the file; created if absent.
        objective: what the study is about.
        pruner: judges reports; `None` for readers.
    """

    def __init__(
        self, journal: Path, objective: Objective, pruner: optuna.pruners.BasePruner | None = None
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.objective = objective
        self._journal = StudyJournal(journal, writable=pruner is not None)
        self._storage = JournalStorage(self._journal)
        sampler = optuna.samplers.RandomSampler()
        if pruner is None:
            self._study = optuna.load_study(
                study_name=_NAME, storage=self._storage, sampler=sampler
            )
        else:
            self._study = optuna.create_study(
                study_name=_NAME,
                storage=self._storage,
                direction=objective.direction,
                load_if_exists=True,
                sampler=sampler,
                pruner=pruner,
            )
        self._id = self._storage.get_study_id_from_name(_NAME)
        if pruner is not None:
            self._complete_interrupted()

    @staticmethod
    def exists(journal: Path) -> bool:
        """Whether there is a record to read."""
        return journal.exists() and journal.stat().st_size > 0

    def trials(self) -> list[TrialRecord]:
        """Every trial, by number."""
        return [self._read(trial) for trial in self._frozen() if _CONFIG in trial.user_attrs]

    @property
    def draws(self) -> int:
        """How many points were drawn in all, those that the config model rejected included."""
        return sum(trial.draws for trial in self.trials())

    def trial(self, number: int) -> TrialRecord:
        return self._read(self._storage.get_trial(self._trial_id(number)))

    def judged(self) -> optuna.Study:
        """A study in memory of the trials with a value of their own: complete and pruned ones.

        A pruned trial has the value of its last report. Diverged ones, whose value is made up for
        the sampler, are left out.
        """
        study = optuna.create_study(direction=self.objective.direction)
        frozen = self._frozen()
        for trial in self.trials():
            if trial.state in (State.COMPLETE, State.PRUNED) and trial.value is not None:
                told = frozen[trial.number]
                study.add_trial(
                    optuna.trial.create_trial(
                        params=told.params,
                        distributions=told.distributions,
                        value=trial.value,
                    )
                )
        return study

    def ask(self, proposer: Proposer, space: Space) -> TrialRecord | None:
        """Opens the next trial; `None` when the proposer has nothing left.

        Raises:
            StudyFailed: no valid config was found.
        """
        with self._journal.batch():
            proposal = proposer.propose(self._open, self.last_position)
            if proposal is None:
                return None
            trial_id = self._trial_id(proposal.number)
            given = {here.parameter.name: here.parameter for here in space.parameters}
            for name, value in proposal.draw.params.items():
                where = distribution(given[name])
                internal = where.to_internal_repr(value)
                self._storage.set_trial_param(trial_id, name, internal, where)
            for key, value in (
                (_DRAWS, proposal.draws),
                (_POSITION, proposal.position),
                (_PARAMS, dict(proposal.draw.params)),
                (_CONFIG, proposal.draw.config),
            ):
                self._storage.set_trial_user_attr(trial_id, key, value)
        return self.trial(proposal.number)

    def report(self, number: int, step: int, value: float) -> bool:
        """Notes the objective at one step.

        Returns:
            whether the pruner ends the trial.
        """
        trial_id = self._trial_id(number)
        with self._journal.batch():
            self._storage.set_trial_intermediate_value(trial_id, step, value)
            trial = self._storage.get_trial(trial_id)
            if _PRUNE in trial.user_attrs:
                return True  # decided before a crash; a pruner does not judge the same rung twice
            if not math.isfinite(value):
                return False  # diverged, which is not for the pruner to say
            prune = self._study.pruner.prune(self._study, trial)
            if prune:
                self._storage.set_trial_user_attr(trial_id, _PRUNE, True)
            return prune

    def finish(self, number: int, outcome: Outcome, value: float | None) -> TrialRecord:
        """Closes a trial. A trial that is closed already stays as it is."""
        trial = self._storage.get_trial(self._trial_id(number))
        if not trial.state.is_finished():
            with self._journal.batch():
                note = {
                    "state": outcome.state.value,
                    "reason": outcome.reason,
                    "value": value,
                    "metrics": {k: v for k, v in outcome.metrics.items() if math.isfinite(v)},
                }
                self._storage.set_trial_user_attr(trial._trial_id, _OUTCOME, note)
                self._tell(number, outcome.state, value)
        return self.trial(number)

    def _complete_interrupted(self) -> None:
        for trial in self._frozen():
            note = trial.user_attrs.get(_OUTCOME)
            if note is not None and not trial.state.is_finished():
                with self._journal.batch():
                    self._tell(trial.number, State(note["state"]), note["value"])

    def _tell(self, number: int, state: State, value: float | None) -> None:
        told = _TOLD[state]
        if state in (State.DIVERGED, State.OUT_OF_MEMORY):
            trial = optuna.trial.Trial(self._study, self._trial_id(number))
            if not trial.constraints:
                trial.set_constraint(state.value, 1.0)
            value = self._worst()
        if told is not TrialState.COMPLETE:
            value = None
        self._study.tell(number, value, told)

    def _worst(self) -> float:
        """The worst finite objective seen so far, at any step; infinitely bad if there is none."""
        sign = -1.0 if self.objective.direction == "minimize" else 1.0
        seen = (
            value
            for trial in self._frozen()
            for value in (*trial.intermediate_values.values(), *(trial.values or ()))
            if math.isfinite(value)
        )
        return sign * min((sign * value for value in seen), default=-math.inf)

    def _open(self) -> tuple[optuna.Study, optuna.trial.FrozenTrial]:
        trials = self._frozen()
        if trials and _CONFIG not in trials[-1].user_attrs:
            return self._study, trials[-1]
        number = self._study.ask().number
        return self._study, self._frozen()[number]

    @property
    def last_position(self) -> int:
        """Where in the grid the last trial lies; -1 before the first, and for other samplers."""
        asked = [t for t in self._frozen()[-2:] if _CONFIG in t.user_attrs]
        return int(asked[-1].user_attrs[_POSITION]) if asked else -1

    def _frozen(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _trial_id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._id, number)

    def _read(self, trial: FrozenTrial) -> TrialRecord:
        note = trial.user_attrs.get(_OUTCOME, {})
        state = State(note.get("state", State.RUNNING.value))
        return TrialRecord(
            number=trial.number,
            state=state,
            config=trial.user_attrs[_CONFIG],
            params=trial.user_attrs[_PARAMS],
            value=note.get("value"),
            metrics=note.get("metrics", {}),
            reason=note.get("reason", ""),
            started=trial.datetime_start.timestamp() if trial.datetime_start else 0.0,
            finished=trial.datetime_complete.timestamp() if trial.datetime_complete else None,
            steps=trial.last_step or 0,
            draws=trial.user_attrs[_DRAWS],
        )
