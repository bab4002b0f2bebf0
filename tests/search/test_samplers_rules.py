"""What a study file may combine."""

from __future__ import annotations

import subprocess
import sys

import pytest
from known import BRANCHES, NOTHING_PRUNED, SQUARE, make_space

from hpo.budget import BudgetSettings
from hpo.records import Objective
from hpo.search import rules
from hpo.search.pruners import Asha
from hpo.search.settings import SearchSettings

NO_BUDGET = BudgetSettings()
ONE = (Objective("loss"),)
TWO = (Objective("loss"), Objective("seconds"))


def found(search, pruner=NOTHING_PRUNED, budget=NO_BUDGET, tree=SQUARE, objectives=ONE):
    settings = SearchSettings(**{"trials": 10, **search})
    return rules.mistakes(settings, pruner, budget, make_space(tree), objectives)


def only(mistakes):
    [(path, message)] = mistakes
    return ".".join(path), message


@pytest.mark.parametrize("sampler", ["random", "qmc", "tpe", "gp", "cmaes", "nsga2", "auto"])
def test_every_sampler_goes_with_one_objective(sampler):
    assert found({"sampler": sampler}) == []


@pytest.mark.parametrize("sampler", ["grid", "random", "qmc", "tpe", "gp", "nsga2", "auto"])
def test_nearly_every_sampler_goes_with_several(sampler):
    assert found({"sampler": sampler}, objectives=TWO) == []


def test_cmaes_knows_one_objective_and_numbers_that_are_always_there():
    path, message = only(found({"sampler": "cmaes"}, objectives=TWO))
    assert path == "search.sampler" and "one objective, got 2" in message
    path, message = only(found({"sampler": "cmaes"}, tree={"x": {"choices": [1, 2]}}))
    assert path == "search.sampler" and "has none; write sampler: tpe" in message
    assert found({"sampler": "cmaes"}, tree=BRANCHES) == []


@pytest.mark.parametrize("sampler", ["gp", "cmaes", "nsga2"])
def test_what_learns_nothing_from_pruned_trials_does_not_go_with_a_pruner(sampler):
    path, message = only(found({"sampler": sampler}, pruner=Asha()))
    assert path == "pruner" and f"{sampler} learns nothing from pruned" in message
    assert "pruner: {kind: none}, or sampler: tpe" in message


@pytest.mark.parametrize("sampler", ["grid", "random", "qmc", "tpe", "auto"])
def test_the_others_do(sampler):
    assert found({"sampler": sampler}, pruner=Asha()) == []
    path, message = only(found({"sampler": sampler}, pruner=Asha(), objectives=TWO))
    assert path == "pruner" and "asha judges one objective, got 2" in message


def test_a_study_must_end():
    path, message = only(found({"sampler": "tpe", "trials": None}))
    assert path == "search.trials" and "add trials: NUMBER, or a budget" in message
    assert found({"sampler": "grid", "trials": None}) == []
    assert found({"sampler": "tpe", "trials": None}, budget=BudgetSettings(wall_hours=1)) == []
    assert len(found({"sampler": "tpe", "trials": None}, budget=BudgetSettings(target=1))) == 1


def test_a_grid_needs_no_configs_to_try_first():
    path, message = only(found({"sampler": "grid", "enqueue": [{"x": 0.5}]}))
    assert path == "search.enqueue" and "remove enqueue" in message
    assert found({"sampler": "tpe", "enqueue": [{"x": 0.5}]}) == []


@pytest.mark.parametrize("sampler", ["grid", "random", "qmc", "cmaes", "nsga2"])
def test_what_learns_nothing_from_earlier_studies_does_not_get_them(sampler):
    path, message = only(found({"sampler": sampler, "warm_start": ["digits"]}))
    assert path == "search.warm_start" and "sampler: tpe, gp or auto" in message


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(rules.PACKAGES, "cmaes", "no_such_package")
    path, message = only(found({"sampler": "cmaes"}))
    assert path == "search.sampler"
    assert message == "needs the package no_such_package; pip install 'hpo[cmaes]'"


def test_checking_loads_nothing_heavy():
    code = (
        "import sys\nimport hpo.search.rules\n"
        "from hpo.search.pruners import PrunerSettings\n"
        "print([m for m in ('optuna', 'torch', 'numpy', 'scipy', 'cmaes') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ran.stdout.strip(), ran.stderr) == ("[]", "")
