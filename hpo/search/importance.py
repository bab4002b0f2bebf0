"""Which parameters mattered."""

from __future__ import annotations

import warnings

import optuna
from optuna.trial import TrialState

from hpo.records import State
from hpo.search.knowledge import Knowledge
from hpo.search.record import Record
from hpo.space import Space

MIN_TRIALS = 10
"""Below this, importances are noise."""


def importances(record: Record, space: Space) -> dict[str, float]:
    """The share of each parameter in the spread of the first objective, largest first; sums to 1.

    By PED-ANOVA over complete trials and pruned ones (by their last value), and only for parameters
    that all of them have: those inside a branch that some did not take are left out. Diverged
    trials, whose value is made up for the sampler, do not count. Empty below two parameters or
    `MIN_TRIALS` trials, or where all values are equal.

    Reference: Watanabe et al., PED-ANOVA, IJCAI 2023.
    """
    if len(space.parameters) < 2:
        return {}
    valued = [
        trial
        for trial in record.trials()
        if trial.state in (State.COMPLETE, State.PRUNED) and trial.value is not None
    ]
    if len(valued) < MIN_TRIALS or len({trial.value for trial in valued}) < 2:
        return {}
    told = (
        (trial.config, optuna.trial.create_trial(state=TrialState.COMPLETE, value=trial.value))
        for trial in valued
    )
    study = Knowledge(space, record.objectives[:1], told).study
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.importance.get_param_importances(
            study, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
        )
