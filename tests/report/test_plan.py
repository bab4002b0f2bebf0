"""The plan tells what the run does."""

from __future__ import annotations

import pytest

from hpo import studyfile
from hpo.report import fusing
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


def test_what_trains_together_and_why_not_the_rest(write_study):
    space = {
        "data": {"kind": "sklearn", "name": "iris"},
        "model": {"kind": "mlp", "widths": {"choices": [[8], [16]]}},
        "batch_lr": {"batch_size": {"choices": [16, 32]}, "base_lr": {"low": 0.1, "high": 1.0}},
    }
    study = studyfile.load(
        write_study(
            trainable="builtin",
            space=space,
            objective={"metric": "val_loss"},
            search={"sampler": "random", "trials": 40},
            resources={"pack": 8},
        )
    )
    said = list(fusing.lines(study, first_draws(study, 40)))
    assert len(said) == 2
    assert said[0].startswith(
        "packs: at most 8 train together; the first 40 configs fall into 4 groups of "
    )
    assert said[1] == (
        "packs: trials that differ in model.widths, batch_lr.batch_size do not train together"
    )


def test_a_trainable_that_trains_each_alone(write_study):
    study = studyfile.load(write_study(resources={"pack": "auto"}))
    (said,) = fusing.lines(study, first_draws(study, 4))
    assert said == (
        "packs: every trial trains alone, since this trainable cannot train several together"
    )
