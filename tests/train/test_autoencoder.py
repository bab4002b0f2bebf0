"""Inputs as their own targets, and the network that squeezes them through a code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from train_helpers import Run, config, outputs_of

from hpo.errors import InputError
from hpo.train.builtin import trainer
from hpo.train.data import load
from hpo.train.models import Autoencoder
from hpo.train.problem import assemble

DIGITS = {"kind": "sklearn", "name": "digits", "targets": "inputs"}
LINEAR: dict[str, Any] = {"kind": "autoencoder", "widths": [], "code": 2}


def test_the_targets_are_the_scaled_inputs(tmp_path: Path) -> None:
    splits = load(config(data=DIGITS).data, tmp_path)
    assert (splits.task, splits.inputs, splits.outputs) == ("reconstruction", (1, 8, 8), 64)
    for part in (splits.train, splits.validation, splits.test()):
        assert np.array_equal(part.y, part.x.reshape(len(part), 64))
    assert abs(splits.train.x.std() - 1) < 1e-12, "the scaling is that of inputs"
    assert splits.scale_targets.scale.tolist() == [1]


def test_a_file_needs_no_targets_then(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.random.default_rng(0).normal(size=(40, 3)))
    data = {"kind": "npz", "path": "a.npz", "targets": "inputs"}
    assert load(config(data=data).data, tmp_path).outputs == 3
    assert trainer.metrics(config(data=data)) == {"train_loss", "val_loss", "val_rmse"}


@pytest.mark.parametrize("tied", [False, True])
def test_without_hidden_layers_it_finds_the_principal_components(
    tmp_path: Path, tied: bool
) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 2)) @ rng.normal(size=(2, 6)) + 0.3 * rng.normal(size=(400, 6))
    np.savez(tmp_path / "a.npz", x=x)
    chosen = config(
        data={"kind": "npz", "path": "a.npz", "targets": "inputs"},
        model={**LINEAR, "tied": tied},
        optimizer={"kind": "adam"},
        batch_lr={"batch_size": 40, "base_lr": 0.02, "base_batch_size": 40},
        epochs=200,
        precision="float64",
    )
    result = trainer.run(chosen, Run(tmp_path).trial())
    splits = load(chosen.data, tmp_path)
    values = np.linalg.svd(splits.train.x, compute_uv=False) ** 2
    least = values[2:].sum() / splits.train.x.size  # of any linear code of two numbers
    assert result is not None
    assert least <= result["train_loss"] * 1.001 <= least * 1.02
    assert result["val_rmse"] == pytest.approx(result["val_loss"] ** 0.5, rel=1e-12)


def test_tied_weights_are_the_encoders() -> None:
    tied, free = (Autoencoder(widths=(5, 4), code=2, tied=tied) for tied in (True, False))
    names = tied.shapes((1, 2, 3), 6)
    assert names.keys() < free.shapes((1, 2, 3), 6).keys()
    assert [name for name in names if name.startswith("decoder")] == [
        f"decoder.{layer}.bias" for layer in range(3)
    ]
    params = {name: torch.randn(shape, dtype=torch.float64) for name, shape in names.items()}
    copied = {f"decoder.{i}.weight": params[f"encoder.{2 - i}.weight"].T for i in range(3)}
    assert {name: tuple(p.shape) for name, p in copied.items()}.items() <= free.shapes(
        (1, 2, 3), 6
    ).items()
    x = torch.randn(7, 1, 2, 3, dtype=torch.float64)
    assert torch.equal(outputs_of(tied, params, x), outputs_of(free, params | copied, x))


def test_the_model_gives_inputs_as_they_came(tmp_path: Path) -> None:
    chosen = config(data=DIGITS, model={"kind": "autoencoder", "code": 32}, epochs=3)
    trial = Run(tmp_path).trial()
    result = trainer.run(chosen, trial)
    weights = trainer.weights(chosen, trial)
    assert weights is not None and result is not None
    splits = load(chosen.data, tmp_path)
    scaler = splits.scale_inputs
    x = torch.from_numpy(splits.validation.x * scaler.scale + scaler.offset)
    found = trainer.model(chosen, weights, tmp_path)(x)
    assert found.shape == x.shape
    rmse = ((found - x) / torch.from_numpy(scaler.scale)).square().mean().sqrt().item()
    assert rmse == pytest.approx(result["val_rmse"], rel=1e-5)
    assert result["val_rmse"] < 0.9, "worse than no code at all"


def test_noise_on_the_inputs_leaves_the_targets_alone(tmp_path: Path) -> None:
    """Which makes it a denoising autoencoder."""
    noisy = config(data=DIGITS, model=LINEAR, dropout={"input": 0.5}, epochs=1)
    problem = assemble(noisy, tmp_path)
    rows = problem.rows(problem.splits.train)
    assert torch.equal(rows.y, rows.x.flatten(1))
    result = trainer.run(noisy, Run(tmp_path).trial())
    assert result is not None and result["val_rmse"] > 0


def test_an_mlp_can_reconstruct_too(tmp_path: Path) -> None:
    trainer.check(config(data=DIGITS, model={"kind": "mlp", "widths": [9]}), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"kind": "sklearn", "name": "iris"}}, "the data are for classification"),
        ({"data": DIGITS, "loss": {"kind": "cross_entropy"}}, "the data are for reconstruction"),
        ({"data": DIGITS, "model": {"kind": "gru"}}, "model gru is for classification"),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        trainer.check(config(**({"model": LINEAR} | changes)), tmp_path)


def test_whitened_inputs_leave_a_code_nothing_to_choose() -> None:
    with pytest.raises(ValidationError, match=r"some vary more than others, got .* pca_whitening"):
        config(data=DIGITS | {"scaling": "pca_whitening"})


def test_inputs_as_targets_are_a_task_of_their_own() -> None:
    data = {"kind": "npz", "path": "x", "targets": "inputs", "task": "regression"}
    with pytest.raises(ValidationError, match="targets: inputs has a task of its own"):
        config(data=data)
