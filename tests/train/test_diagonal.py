"""The diagonal linear network against its formula, and against a computed path of training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
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

N, P = 100, 200
X = torch.from_numpy(2.0 * np.random.RandomState(0).randint(0, 2, (N, P)) - 1)
TRUE = torch.zeros(P, dtype=torch.float64)
TRUE[:5] = 1
Y = X @ TRUE + 0.5 * torch.from_numpy(np.random.RandomState(1).standard_normal(N))


def descend(depth: int, alpha: float, rate: float, steps: int) -> list[dict[str, torch.Tensor]]:
    """Parameters after each step of plain gradient descent on all rows."""
    case = config(
        model={"kind": "diagonal", "depth": depth, "alpha": alpha},
        loss={"kind": "mse"},
        optimizer={"kind": "sgd", "momentum": 0.0},
        precision="float64",
    )
    layout = Layout(case.model.shapes((P,), 1))
    like = torch.empty(0, dtype=torch.float64)
    step, parts = Step(case, layout, like, value_and_grad), Knobs.of(case)
    params = torch.full((layout.size,), alpha, dtype=torch.float64)
    state = step.init_state(params, parts)
    key = step_keys(0, torch.arange(1))[0]
    found = []
    for t in range(steps):
        batch = Batch(X, Y[:, None], like.new_tensor(float(t)), like.new_tensor(rate), key)
        params, state, _ = step(params, state, batch, parts)
        found.append(layout.split(params))
    return found


def weights(params: dict[str, torch.Tensor], depth: int) -> torch.Tensor:
    return (params["u"].pow(depth) - params["v"].pow(depth))[0]


def test_one_step() -> None:
    (after,) = descend(3, 0.1, 0.01, 1)
    change = 0.01 * 6 / N * 0.1**2 * (X.T @ Y)
    assert torch.allclose(after["u"][0], 0.1 + change, rtol=1e-12)
    assert torch.allclose(after["v"][0], 0.1 - change, rtol=1e-12)
    assert after["u"][0, :2].tolist() == pytest.approx(
        [0.10046446010706671, 0.10080395741182425], rel=1e-9
    )
    assert weights(after, 3)[:2].tolist() == pytest.approx(
        [2.7867806813634995e-05, 4.823848398121365e-05], rel=1e-9
    )


def test_the_path_finds_what_is_sparse_and_leaves_it_again() -> None:
    path = [weights(params, 2) for params in descend(2, 0.01, 0.01, 3000)]
    errors = [(w - TRUE).square().sum().item() for w in path]
    assert errors[0] == pytest.approx(4.9998326473638945, rel=1e-9)
    assert errors[99] == pytest.approx(2.577236312113115, rel=1e-6)
    assert min(errors) == pytest.approx(0.0081723487776235, rel=1e-6)
    assert errors.index(min(errors)) == 206
    assert errors[-1] == pytest.approx(0.1665264993934117, rel=1e-6)
    assert path[199][:2].tolist() == pytest.approx([1.0125336284936275, 1.0191339731227882])
    assert path[199][5:].abs().max().item() == pytest.approx(0.019657925505832816, rel=1e-6)


def test_a_deeper_one_stays_near_for_longer() -> None:
    """From one alpha: the shallow one is gone when the deep one has hardly moved away."""
    near = [
        sum((weights(params, depth) - TRUE).square().sum() <= 0.1 for params in path)
        for depth, path in ((2, descend(2, 0.05, 0.01, 3000)), (3, descend(3, 0.05, 0.01, 3000)))
    ]
    assert near == [390, 2609]


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
