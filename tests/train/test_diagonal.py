"""The diagonal linear network against its formula, and against a computed path of training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden import GOLDEN, RELATIVE
from train_helpers import Run, config, outputs_of

from hpo.errors import InputError
from hpo.train.builtin import trainer
from hpo.train.drivers.single import value_and_grad
from hpo.train.lanes import fusion_key, knobs
from hpo.train.layout import Layout
from hpo.train.models import Diagonal
from hpo.train.noise import step_keys
from hpo.train.problem import assemble
from hpo.train.step import Batch, Knobs, Step

RECIPE = GOLDEN["implicit_sparse_fixed_recipe"]
X = torch.from_numpy(2.0 * np.random.RandomState(0).randint(0, 2, (100, 200)) - 1)
TRUE = torch.cat([torch.ones(5), torch.zeros(195)]).double()
Y = X @ TRUE + 0.5 * torch.from_numpy(np.random.RandomState(1).standard_normal(100))


def descend(depth: int, alpha: float, rate: float, steps: int) -> Iterator[dict[str, torch.Tensor]]:
    """Parameters after each step of plain gradient descent on all rows."""
    case = config(
        model={"kind": "diagonal", "depth": depth, "alpha": alpha},
        loss={"kind": "mse"},
        optimizer={"kind": "sgd", "momentum": 0.0},
        precision="float64",
    )
    layout = Layout(case.model.shapes((200,), 1))
    like = torch.empty(0, dtype=torch.float64)
    step, parts = Step(case, layout, like, value_and_grad), Knobs.of(case)
    params = torch.full((layout.size,), alpha, dtype=torch.float64)
    state = step.init_state(params, parts)
    key = step_keys(0, torch.arange(1))[0]
    for t in range(steps):
        batch = Batch(X, Y[:, None], like.new_tensor(float(t)), like.new_tensor(rate), key)
        params, state, _ = step(params, state, batch, parts)
        yield layout.split(params)


def weights(params: dict[str, torch.Tensor], depth: int) -> torch.Tensor:
    return (params["u"].pow(depth) - params["v"].pow(depth))[0]


def errors_of(run: dict[str, Any], steps: int) -> Iterator[tuple[float, torch.Tensor]]:
    """The squared distance to the true weights after each step, and the weights."""
    for params in descend(run["N"], run["alpha"], run["eta"], steps):
        w = weights(params, run["N"])
        yield (w - TRUE).square().sum().item(), w


def near(expected: Any, relative: float = RELATIVE) -> Any:
    return pytest.approx(expected, rel=relative)


def test_one_step() -> None:
    known = RECIPE["one_step"]
    (after,) = descend(known["N"], known["alpha"], known["eta"], 1)
    assert after["u"][0, :5].tolist() == near(known["u1_first5"], 1e-9)
    assert after["v"][0, :5].tolist() == near(known["v1_first5"], 1e-9)
    assert weights(after, known["N"])[:5].tolist() == near(known["w1_first5"], 1e-9)


def named(run: dict[str, Any]) -> str:
    return f"depth {run['N']} alpha {run['alpha']:.3g}"


EVERY = {
    (run["N"], run["alpha"], run["T"]): run
    for section in RECIPE
    if section == "trajectory" or section.startswith("corollary")
    for run in RECIPE[section]
}
SOON_OVER = {
    key[:2]: run for key, run in EVERY.items() if run["window"] and run["window"][1] <= 2400
}


@pytest.mark.parametrize("run", SOON_OVER.values(), ids=named)
def test_the_path_finds_what_is_sparse_and_leaves_it_again(run: dict[str, Any]) -> None:
    """The steps within which it is near, counted from 1, and the nearest of them."""
    first, last, count = run["window"]
    errors = [error for error, _ in errors_of(run, last + 1)]
    window = [t for t, error in enumerate(errors, 1) if error <= run["window_thr"]]
    assert (window[0], window[-1], len(window)) == (first, last, count)
    assert min(errors) == near(run["min_l2sq"])
    assert errors.index(min(errors)) + 1 == run["argmin"]


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(run, id=named(run), marks=[pytest.mark.slow] if run["T"] > 3000 else [])
        for run in EVERY.values()
    ],
)
def test_a_whole_path(run: dict[str, Any]) -> None:
    errors = []
    for t, (error, w) in enumerate(errors_of(run, run["T"]), 1):
        errors.append(error)
        if mark := run["marks"].get(str(t)):
            assert error == near(mark["l2sq"])
            assert w[:5].tolist() == near(mark["w_support"])
            assert w[5:].abs().max().item() == near(mark["noise_max"])
    assert errors[-1] == near(run["final_l2sq"]) and min(errors) == near(run["min_l2sq"])
    assert errors.index(min(errors)) + 1 == run["argmin"]

    def steps_below(bound: float) -> list[int]:
        return [t for t, error in enumerate(errors, 1) if error <= bound]

    window = steps_below(run["window_thr"])
    assert ([window[0], window[-1], len(window)] if window else None) == run["window"]
    twice = steps_below(2 * run["min_l2sq"])
    assert [twice[0], twice[-1]] == run["window_2xmin"]


@pytest.mark.parametrize("check", RECIPE["reference_crosscheck"], ids=named)
def test_the_reference_program_comes_to_the_same(check: dict[str, Any]) -> None:
    *_, (error, _) = errors_of({**check, "eta": 0.01}, check["T"])
    assert error == near(check["own_l2sq"])
    assert error == near(check["reference_l2sq"], 1e-3), "it computes in float32"


@pytest.mark.parametrize("targets", [1, 3])
def test_alpha_is_where_all_of_it_starts(tmp_path: Path, targets: int) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "a.npz", x=rng.normal(size=(40, 6)), y=rng.normal(size=(40, targets)))
    chosen = config(data={"kind": "npz", "path": "a.npz"}, model={"kind": "diagonal", "alpha": 0.3})
    problem = assemble(chosen, tmp_path)
    assert problem.layout.shapes == {"u": (targets, 6), "v": (targets, 6)}
    assert set(problem.initial_params(0).tolist()) == {np.float32(0.3).item()}


def test_alpha_may_differ_between_lanes() -> None:
    cases = [config(model={"kind": "diagonal", "alpha": alpha}) for alpha in (0.1, 0.2)]
    assert [knobs(case)["model.alpha"] for case in cases] == [0.1, 0.2]
    assert fusion_key(cases[0]) == fusion_key(cases[1])
    assert fusion_key(cases[0]) != fusion_key(config(model={"kind": "diagonal", "depth": 3}))


def test_images_are_flattened() -> None:
    model = Diagonal(depth=2)
    params = Layout(model.shapes((1, 2, 3), 2)).split(torch.randn(24))
    x = torch.randn(4, 1, 2, 3)
    w = params["u"] ** 2 - params["v"] ** 2
    assert torch.allclose(outputs_of(model, params, x), x.flatten(1) @ w.T)


def test_it_is_for_numbers(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="model diagonal is for regression") as caught:
        trainer.check(config(model={"kind": "diagonal"}), tmp_path)
    assert "mlp" in caught.value.hint
    diabetes = config(
        data={"kind": "sklearn", "name": "diabetes"},
        model={"kind": "diagonal", "alpha": 0.2},
        batch_lr={"base_lr": 0.3},
        epochs=20,
    )
    result = trainer.run(diabetes, Run(tmp_path).trial())
    assert result is not None and result["val_rmse"] < 65
