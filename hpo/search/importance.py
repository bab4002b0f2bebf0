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

    By PED-ANOVA over the complete trials, and only for parameters that all of them have: those
    inside a branch that some did not take are left out. Empty below `MIN_TRIALS` complete trials.

    Reference: Watanabe et al., PED-ANOVA, IJCAI 2023.
    """
    study = Record(journal, objective).complete()
    if len(study.get_trials(deepcopy=False)) < MIN_TRIALS:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.importance.get_param_importances(
            study, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
        )
