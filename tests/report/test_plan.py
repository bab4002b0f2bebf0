"""The plan tells what the run does."""

from __future__ import annotations

import pytest

from hpo import studyfile
from hpo.report.plan import expected_steps, first_draws, lines
from hpo.study import run


@pytest.mark.parametrize("sampler", ["grid", "random", "tpe"])
def test_first_configs_are_those_of_the_run(write_study, home, sampler):
    space = {"x": {"low": 0, "high": 1, "step": 0.125}, "mode": {"choices": ["good", "late_nan"]}}
    study = studyfile.load(write_study(space=space, search={"sampler": sampler, "trials": 8}))
    planned = first_draws(study, 8)
    ran = run(study, inline=True, home=home).trials
    assert [d.config for d in planned] == [t.config for t in ran]


def test_size_of_a_grid(write_study, home):
    space = {"x": {"low": 0, "high": 1, "step": 0.5}}
    study = studyfile.load(write_study(space=space, search={"sampler": "grid"}))
    assert next(lines(study, home)) == "the grid has 3 points"
    some = studyfile.load(write_study(space=space, search={"sampler": "grid", "trials": 2}))
    assert next(lines(some, home)) == "the grid has 3 points, of which 2 would be tried"


@pytest.mark.parametrize(
    ("pruner", "expected"),
    [
        ({"kind": "none"}, 9.0),
        # Rungs at 1, 3: all do 1 step, a third goes on to 3, a ninth from there to 9.
        ({"kind": "asha", "min_steps": 1, "reduction_factor": 3}, 1 + 2 / 3 + 6 / 9),
        ({"kind": "asha", "min_steps": 9, "reduction_factor": 3}, 9.0),
    ],
)
def test_expected_steps_under_a_pruner(write_study, pruner, expected):
    study = studyfile.load(write_study(pruner=pruner))
    assert expected_steps(study, 9) == pytest.approx(expected)
