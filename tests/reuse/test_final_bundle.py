"""A study with a final stage, from its runs to its bundle, its promotion and its repetition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import hpo
from hpo.bundle import newest, open_bundle
from hpo.final.plan import read_plan
from hpo.home import Home
from hpo.records import State
from hpo.reuse.promote import promote
from hpo.reuse.reproduce import reproduce
from hpo.study import run


@pytest.fixture(scope="module", params=[False, True], ids=["run", "refit"])
def finished(request, tmp_path_factory, write_iris):
    folder = tmp_path_factory.mktemp("final")
    final = {"top_k": 2, "repeats": 5, "refit": request.param}
    path, home = write_iris(folder, final=final), Home(folder / "home")
    result = run(path, inline=True, home=home)
    return path, home, result, request.param


def test_the_bundle_has_every_seed_of_the_winner(finished):
    _, home, result, refit = finished
    bundle = open_bundle(newest(home.study("iris").bundles))
    winner, found = result.kept.final.winner, bundle.contents
    assert (found.trial, found.config) == (winner.trial, winner.config)
    assert found.seeds == result.kept.final.seeds and len(found.seeds) == 5
    assert found.validation["val_loss"] == winner.values
    assert found.test["test_loss"] == winner.test["test_loss"]
    assert found.refit is refit


def test_the_weights_are_of_the_refit_or_of_the_first_run(finished):
    _, home, result, refit = finished
    bundle = open_bundle(newest(home.study("iris").bundles))
    final = result.kept.final
    number = final.refit if refit else final.winner.runs[0]
    plan = read_plan(home.study("iris").final)
    assert (plan.runs[number].refit is not None) is refit
    with safe_open(bundle.weights, "np") as file:
        assert f'"seed": {plan.runs[number].seed}' in file.metadata()["facts"]


def test_production_gets_the_refit_or_the_first_run(finished):
    _, home, result, refit = finished
    folder, final = home.study("iris").final, result.kept.final
    first = final.winner.runs[0]
    number = final.refit if refit else first
    left = load_file(folder.checkpoint(number) / "model.safetensors")
    network = hpo.load_model("iris", home).state_dict()
    layers = [name for name in left if name.startswith("layers.")]
    assert layers and all(torch.equal(network[f"network.{name}"], left[name]) for name in layers)
    if refit:
        run = result.runs[number]
        assert run.state is State.COMPLETE and run.values == ()
        assert run.steps == read_plan(folder).runs[number].refit
        assert "train_loss" in run.metrics and not any("val" in name for name in run.metrics)
        honest = load_file(folder.checkpoint(first) / "model.safetensors")
        assert any(not torch.equal(left[name], honest[name]) for name in layers)


def test_a_test_split_that_came_with_the_data_is_what_the_winner_is_tested_on(tmp_path, write_iris):
    rng = np.random.default_rng(0)
    y, y_test = np.arange(90) % 3, np.arange(30) % 3
    x, x_test = (3 + rng.normal(size=(len(rows), 4)) + np.eye(3, 4)[rows] for rows in (y, y_test))
    np.savez(tmp_path / "rows.npz", x=x, y=y, x_test=x_test, y_test=y_test)
    space = {
        "data": {"kind": "npz", "path": "rows.npz", "x_test": "x_test", "y_test": "y_test"},
        "model": {"kind": "mlp", "widths": [16]},
        "epochs": 2,
        "batch_lr": {"batch_size": 16, "base_lr": {"low": 0.1, "high": 1.0}},
    }
    home, final = Home(tmp_path / "home"), {"top_k": 1, "repeats": 2}
    run(write_iris(tmp_path, space=space, final=final), inline=True, home=home)
    bundle = open_bundle(newest(home.study("iris").bundles))
    scores = hpo.load_model("iris", home)(torch.from_numpy(x_test))
    wrong = (scores.argmax(1).numpy() != y_test).mean()
    assert bundle.contents.test["test_error"][0] == pytest.approx(wrong) and 0 < wrong < 1
    assert reproduce("iris", home=home, repeats=1).met


def test_running_it_again_leaves_no_other_bundle(finished):
    path, home, *_ = finished
    run(path, inline=True, home=home)
    assert [each.name for each in home.study("iris").bundles.iterdir()] == ["0001"]


def test_it_reproduces_and_can_be_promoted(finished):
    _, home, *_ = finished
    found = reproduce("iris", home=home, repeats=2)
    assert found.met and found.reruns[0].exact
    assert promote("iris", home=home).served
    assert hpo.load_best("iris@champion", home) == hpo.load_best("iris", home)


def test_two_studies_are_compared_seed_by_seed(finished, tmp_path, write_iris):
    _, home, *_ = finished
    promote("iris", home=home)
    worse = write_iris(
        tmp_path,
        "worse",
        space={
            "data": {"kind": "sklearn", "name": "iris"},
            "model": {"kind": "mlp", "widths": [64]},
            "epochs": 2,
            "batch_lr": {"batch_size": 16, "base_lr": {"low": 1e-5, "high": 1e-4}},
        },
        final={"top_k": 1, "repeats": 5},
    )
    run(worse, inline=True, home=home)
    kept = promote("worse", model="iris", home=home)
    (gain,) = kept.comparison.gains
    assert not kept.promoted and gain.sign == -1 and gain.difference.n == 5
    assert "worse, beyond noise" in "\n".join(kept.comparison.lines())
