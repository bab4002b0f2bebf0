"""Which parameters mattered."""

from __future__ import annotations

import warnings
from pathlib import Path

import optuna

from hpo.records import Objective
from hpo.search.record import Record

MIN_TRIALS = 10
"""Below this, importances are noise."""


def importances(journal: Path, objective: Objective) -> dict[str, float]:
    """The share of each parameter in the spread of the objective, largest first; sums to 1.

    By PED-ANOVA over complete trials and pruned ones (by their last value), and only for parameters
    that all of them have: those inside a branch that some did not take are left out. Empty below
    `MIN_TRIALS` trials or where all values are equal.

    Reference: Watanabe et al., PED-ANOVA, IJCAI 2023.
    """
    study = Record(journal, objective).judged()
    values = [trial.value for trial in study.get_trials(deepcopy=False)]
    if len(values) < MIN_TRIALS or len(set(values)) < 2:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.importance.get_param_importances(
            study, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
        )
