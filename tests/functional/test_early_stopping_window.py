"""Windows of early stopping: their definition, and those of the sparse linear recipe.

The recipe trains the diagonal network by plain gradient descent on all rows, with the trainer's own
step; golden.json has what NumPy made of it.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hpo.errors import InputError
from hpo.functional import early_stopping_window
from hpo.train.config import TrainConfig
from hpo.train.drivers.single import value_and_grad
from hpo.train.layout import Layout
from hpo.train.noise import step_keys
from hpo.train.step import Batch, Knobs, Step

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "golden.json").read_text())[
    "implicit_sparse_fixed_recipe"
]
N, P = 100, 200
X = torch.from_numpy(2.0 * np.random.RandomState(0).randint(0, 2, (N, P)) - 1)
TRUE = torch.zeros(P, dtype=torch.float64)
TRUE[:5] = 1
Y = X @ TRUE + 0.5 * torch.from_numpy(np.random.RandomState(1).standard_normal(N))


def test_a_window_goes_from_the_first_to_the_last_step_below() -> None:
    window = early_stopping_window([3.0, 0.9, 1.5, 0.2, 1.0, 2.0], 1.0)
    assert window == (2, 5, 4, 0.2, 4, False)
    assert early_stopping_window(torch.tensor([3.0, 2.0, 1.0]), 1.0) == (3, 3, 1, 1.0, 3, True)


def test_an_error_that_stays_above_has_no_window() -> None:
    assert early_stopping_window([3.0, 2.0, 2.5], 1.0) == (None, None, 0, 2.0, 2, False)
    assert early_stopping_window([math.nan, 2.0, math.nan], 3.0) == (2, 2, 1, 2.0, 2, False)
    assert early_stopping_window([math.nan], 3.0).minimum == math.inf


@pytest.mark.parametrize("errors", [[], [[1.0, 2.0]]])
def test_what_is_no_curve_is_refused(errors: Any) -> None:
    with pytest.raises(InputError, match="one number for each step, got shape"):
        early_stopping_window(errors, 1.0)


def path(depth: int, alpha: float, rate: float, steps: int) -> torch.Tensor:
    """The weights w after each step, [steps, P]."""
    case = TrainConfig.model_validate(
        {
            "data": {"kind": "sklearn", "name": "diabetes"},
            "model": {"kind": "diagonal", "depth": depth, "alpha": alpha},
            "loss": {"kind": "mse"},
            "optimizer": {"kind": "sgd", "momentum": 0.0},
            "precision": "float64",
        }
    )
    layout = Layout(case.model.shapes((P,), 1))
    like = torch.empty(0, dtype=torch.float64)
    step, parts = Step(case, layout, like, value_and_grad), Knobs.of(case)
    params = torch.full((layout.size,), alpha, dtype=torch.float64)
    state = step.init_state(params, parts)
    key, lr = step_keys(0, torch.arange(1))[0], like.new_tensor(rate)
    found = []
    for t in range(steps):
        batch = Batch(X, Y[:, None], like.new_tensor(float(t)), lr, key)
        params, state, _ = step(params, state, batch, parts)
        found.append(params)
    u, v = torch.stack(found).split(P, dim=1)
    return u.pow(depth) - v.pow(depth)


def errors_of(weights: torch.Tensor) -> torch.Tensor:
    return (weights - TRUE).square().sum(1)


def test_one_step() -> None:
    expected = GOLDEN["one_step"]
    (w,) = path(expected["N"], expected["alpha"], expected["eta"], 1)
    assert w[:5].tolist() == pytest.approx(expected["w1_first5"], rel=1e-9)


TRAJECTORIES = [
    pytest.param(row, id=f"depth {row['N']}", marks=pytest.mark.slow if row["T"] > 10000 else ())
    for row in GOLDEN["trajectory"]
]


@pytest.mark.parametrize("row", TRAJECTORIES)
def test_trajectories(row: dict[str, Any]) -> None:
    weights = path(row["N"], row["alpha"], row["eta"], row["T"])
    errors = errors_of(weights)
    for step, mark in row["marks"].items():
        w = weights[int(step) - 1]
        assert errors[int(step) - 1].item() == pytest.approx(mark["l2sq"], rel=1e-6)
        assert w[:5].tolist() == pytest.approx(mark["w_support"], rel=1e-6)
        assert w[5:].abs().max().item() == pytest.approx(mark["noise_max"], rel=1e-6)
    assert errors[-1].item() == pytest.approx(row["final_l2sq"], rel=1e-6)
    assert_window(errors, row)
    twice = early_stopping_window(errors, 2 * row["min_l2sq"])
    assert [twice.first, twice.last] == row["window_2xmin"]


COROLLARIES = {name: rows for name, rows in GOLDEN.items() if name.startswith("corollary")}
WINDOWS = [
    pytest.param(
        row,
        horizon,
        id=f"{name} depth {row['N']} alpha {row['alpha']:.3g}",
        marks=pytest.mark.slow if horizon > 10000 else (),
    )
    for name, rows in COROLLARIES.items()
    for row in rows
    # Beyond the window the error only rises: what follows takes long and shows nothing.
    for horizon in [row["window"][1] + 500 if row["window"] else 2 * row["argmin"]]
]


@pytest.mark.parametrize(("row", "horizon"), WINDOWS)
def test_windows_of_the_corollaries(row: dict[str, Any], horizon: int) -> None:
    assert_window(errors_of(path(row["N"], row["alpha"], row["eta"], horizon)), row)


def assert_window(errors: torch.Tensor, row: dict[str, Any]) -> None:
    window = early_stopping_window(errors, row["window_thr"])
    assert window.minimum == pytest.approx(row["min_l2sq"], rel=1e-6)
    assert window.best == row["argmin"]
    expected = row["window"] or [None, None, 0]
    assert [window.first, window.last, window.length] == expected
    assert window.truncated == row["window_truncated"]
