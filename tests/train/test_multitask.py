"""Several targets: a head for each, one of them the main one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError
from torch import nn
from train_helpers import Run, config, outputs_of

from hpo.errors import DataError, InputError
from hpo.train.builtin import trainer
from hpo.train.data import load
from hpo.train.evaluation import evaluate
from hpo.train.layout import Layout
from hpo.train.losses import Mse
from hpo.train.models import Multitask
from hpo.train.models.base import Kind
from hpo.train.problem import assemble

TARGETS = 3
MODEL = Multitask(widths=(7, 5), head_widths=(4,), activation="tanh")
LAYOUT = Layout(MODEL.shapes((6,), TARGETS))
VECTOR = torch.randn(LAYOUT.size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
X = torch.randn(8, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
Y = torch.randn(8, TARGETS, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def test_it_equals_stock_torch() -> None:
    trunk = nn.Sequential(nn.Linear(6, 7), nn.Tanh(), nn.Linear(7, 5), nn.Tanh())
    heads = [nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 1)) for _ in range(TARGETS)]
    parameters = [*trunk.parameters(), *(p for head in heads for p in head.parameters())]
    assert [tuple(p.shape) for p in parameters] == list(LAYOUT.shapes.values())
    for part in (trunk, *heads):
        part.double()
    with torch.no_grad():
        for own, given in zip(parameters, LAYOUT.split(VECTOR).values(), strict=True):
            own.copy_(given)
    expected = torch.cat([head(trunk(X)) for head in heads], dim=1)
    assert (outputs_of(MODEL, LAYOUT.split(VECTOR), X) - expected).abs().max() < 1e-12


def test_every_hidden_layer_is_a_site() -> None:
    seen = []

    def watch(h: torch.Tensor, site: str, kind: Kind = "activation") -> torch.Tensor:
        seen.append(site)
        return h

    outputs_of(MODEL, LAYOUT.split(VECTOR), X, watch)
    assert seen == ["trunk.0", "trunk.1", *(f"heads.{t}.0" for t in range(TARGETS))]


def test_linear_heads_make_an_mlp_of_it() -> None:
    model = Multitask(widths=(7,), head_widths=())
    assert model.shapes((6,), 2)["heads.1.0.weight"] == (1, 7)


def gradient(loss: Mse) -> dict[str, torch.Tensor]:
    leaf = VECTOR.clone().requires_grad_()
    value = loss.training(outputs_of(MODEL, LAYOUT.split(leaf), X), Y)
    return LAYOUT.split(torch.autograd.grad(value, leaf)[0])


def test_a_head_learns_from_its_own_target_alone() -> None:
    plain, weighted = gradient(Mse()), gradient(Mse(auxiliary=0.25))
    for name in LAYOUT.shapes:
        if name.startswith("heads.0."):
            assert torch.allclose(weighted[name], plain[name], rtol=1e-12), name
        elif name.startswith("heads."):
            assert torch.allclose(weighted[name], 0.25 * plain[name], rtol=1e-12), name
        else:
            assert not torch.allclose(weighted[name], plain[name]), name


def test_without_weight_the_others_shape_nothing() -> None:
    found = gradient(Mse(auxiliary=0.0))
    assert all(
        (found[name] == 0).all() for name in found if name.startswith(("heads.1", "heads.2"))
    )
    leaf = VECTOR.clone().requires_grad_()
    first = outputs_of(MODEL, LAYOUT.split(leaf), X)[:, 0]
    alone = (first - Y[:, 0]).square().mean() / TARGETS
    expected = LAYOUT.split(torch.autograd.grad(alone, leaf)[0])
    assert all(torch.allclose(found[name], expected[name], rtol=1e-12) for name in found)


def test_evaluation_counts_all_alike() -> None:
    outputs = outputs_of(MODEL, LAYOUT.split(VECTOR), X)
    expected = (outputs - Y).square().mean()
    assert torch.equal(Mse(auxiliary=0.25).evaluation(outputs, Y), expected)
    assert torch.allclose(Mse(auxiliary=1.0).training(outputs, Y), expected)


def write(folder: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 3))
    table = pd.DataFrame(x, columns=["a", "b", "c"])
    table["main"] = 10 * x[:, 0] + rng.normal(size=80)
    table["other"] = rng.integers(100, size=80)
    table["word"] = "w"
    table.to_csv(folder / "t.csv", index=False)


def several(**changes: Any) -> dict[str, Any]:
    return {
        "kind": "csv",
        "path": "t.csv",
        "target": ["main", "other"],
        "features": ["a", "b", "c"],
        **changes,
    }


def test_a_table_may_have_several_targets(tmp_path: Path) -> None:
    write(tmp_path)
    splits = load(config(data=several(features=["c", "a"])).data, tmp_path)
    assert (splits.task, splits.inputs, splits.outputs) == ("regression", (2,), 2)
    table = pd.read_csv(tmp_path / "t.csv")
    raw = splits.test().y * splits.scale_targets.scale + splits.scale_targets.offset
    known = table[["main", "other"]].to_numpy()
    assert all(np.isclose(row, known).all(axis=1).any() for row in raw)


def test_all_other_columns_are_features(tmp_path: Path) -> None:
    pd.DataFrame(np.random.default_rng(0).normal(size=(40, 4)), columns=list("abcd")).to_csv(
        tmp_path / "t.csv", index=False
    )
    data = {"kind": "csv", "path": "t.csv", "target": ["b", "d"]}
    assert load(config(data=data).data, tmp_path).inputs == (2,)


@pytest.mark.parametrize("scored", ["all", "first"])
def test_what_is_scored(tmp_path: Path, scored: str) -> None:
    write(tmp_path)
    chosen = config(
        data=several(scored=scored),
        model={"kind": "multitask", "widths": [6], "head_widths": [4]},
        loss={"kind": "mse", "auxiliary": 0.3},
        precision="float64",
    )
    problem = assemble(chosen, tmp_path)
    params = problem.initial_params(0)
    rows = problem.rows(problem.splits.validation)
    outputs = outputs_of(chosen.model, problem.layout.split(params), rows.x)
    errors = (outputs - rows.y)[:, : 2 if scored == "all" else 1]
    unit = torch.from_numpy(problem.splits.scale_targets.scale)[: errors.shape[1]]
    found = evaluate(problem, params, {}, rows)
    assert found["loss"] == pytest.approx(errors.square().mean().item(), rel=1e-12)
    rmse = (errors * unit).square().mean().sqrt().item()
    assert found["rmse"] == pytest.approx(rmse, rel=1e-12)


def test_the_main_target_is_learned(tmp_path: Path) -> None:
    write(tmp_path)
    chosen = config(
        data=several(scored="first"),
        model={"kind": "multitask", "widths": [16], "head_widths": [8]},
        loss={"kind": "mse", "auxiliary": 0.1},
        batch_lr={"batch_size": 8, "base_lr": 0.05, "base_batch_size": 8},
        epochs=30,
    )
    trial = Run(tmp_path).trial()
    result = trainer.run(chosen, trial)
    assert result is not None and result["val_rmse"] < 5, "a constant is at 10"
    weights = trainer.weights(chosen, trial)
    assert weights is not None
    assert trainer.model(chosen, weights, tmp_path)(torch.zeros(4, 3)).shape == (4, 2)


@pytest.mark.parametrize(
    ("data", "loss", "error", "message"),
    [
        (
            several(target=["main", "word"], task="regression"),
            None,
            DataError,
            "several targets must all be numbers for task regression, 'word' has 'w'",
        ),
        (several(target=["main", "main"]), None, DataError, "must differ"),
        (several(target=["main", "a"]), None, DataError, "must differ"),
        (several(target=["main", "mian"]), None, DataError, "there is no column 'mian'"),
        (several(target="main", scored="first"), None, DataError, "there are 1"),
        (several(task="classification"), None, DataError, "classes must be one per row"),
        (
            {"kind": "npz", "path": "c.npz", "scored": "first"},
            None,
            DataError,
            "for several numbers to predict, there are 0",
        ),
        (
            several(target="main"),
            {"kind": "mse", "auxiliary": 0.5},
            InputError,
            "auxiliary is for several targets, got 0.5 with one",
        ),
        (several(target="main", task="regression"), None, InputError, "the data have one"),
    ],
)
def test_what_cannot_be(
    tmp_path: Path,
    data: dict[str, Any],
    loss: dict[str, Any] | None,
    error: type[Exception],
    message: str,
) -> None:
    write(tmp_path)
    np.savez(tmp_path / "c.npz", x=np.random.rand(40, 2), y=np.arange(40) % 2)
    with pytest.raises(error, match=message):
        trainer.check(config(data=data, model={"kind": "multitask"}, loss=loss), tmp_path)


def test_a_target_needs_a_name() -> None:
    for target in ([], [""], ""):
        with pytest.raises(ValidationError):
            config(data=several(target=target))
