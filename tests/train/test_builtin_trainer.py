from __future__ import annotations

import doctest
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from train_helpers import EVERYTHING, config

import hpo.train.config
from hpo import trainable
from hpo.errors import InputError, ResourceError
from hpo.train.builtin import trainer
from hpo.train.config import TrainConfig
from hpo.train.parts import families
from hpo.train.regularizers import Regularization
from hpo.trainable import Scale


def test_settings_validate_without_torch_or_numpy() -> None:
    code = """
import sys
from hpo.train.builtin import trainer
from hpo.train.parts import families
from hpo.train.regularizers import Regularization
from hpo.trainable import Scale
config = trainer.config_type.model_validate({
    "data": {"kind": "csv", "path": "x.csv", "target": "y", "task": "regression"},
    "model": {"kind": "cnn", "normalization": {"kind": "batch"}},
    "optimizer": {"kind": "adamw"},
    "regularization": {
        "l1": {"strength": 0.1},
        "weight_decay": {"strength": 0.1, "decay_rule": "product"},
    },
    "batch_lr": {"rule": "sqrt", "scale_betas": True},
    "schedule": {"kind": "growing_batch", "max_batch_size": 256},
    "augmentation": {"noise": {"sd": 0.1}, "mixup": {"alpha": 0.2}},
    "initialization": {"kind": "checkpoint", "path": "x.safetensors", "head": "random"},
})
config.derived(), config.model_dump_json(), trainer.metrics(config), families()
trainer.rescale(config.model_dump(mode="json"), Scale(128))
from hpo.train.lanes import fusion_key, knobs
fusion_key(config), knobs(config)
loaded = {"torch", "numpy", "pandas", "sklearn", "pyarrow", "safetensors"} & set(sys.modules)
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_it_is_reached_like_any_trainable(tmp_path: Path) -> None:
    assert trainable.load("builtin", tmp_path) is trainer


@pytest.mark.parametrize(
    ("data", "loss", "expected"),
    [
        ({"kind": "sklearn", "name": "wine"}, None, "val_error"),
        ({"kind": "sklearn", "name": "diabetes"}, None, "val_rmse"),
        ({"kind": "npz", "path": "x"}, None, None),
        ({"kind": "npz", "path": "x", "task": "regression"}, None, "val_rmse"),
        ({"kind": "npz", "path": "x"}, {"kind": "cross_entropy"}, "val_error"),
        ({"kind": "csv", "path": "x", "target": "y"}, {"kind": "mse"}, "val_rmse"),
        ({"kind": "text", "path": "x"}, None, "val_error"),
        ({"kind": "npz", "path": "x", "targets": "inputs"}, None, "val_rmse"),
        ({"kind": "sklearn", "name": "wine", "targets": "inputs"}, {"kind": "mse"}, "val_rmse"),
    ],
)
def test_metrics_are_known_beforehand_where_the_task_is(
    data: dict[str, Any], loss: dict[str, Any] | None, expected: str | None
) -> None:
    found = trainer.metrics(config(data=data, loss=loss))
    assert found == (expected and {"train_loss", "val_loss", expected})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"kind": "cnn"}}, "needs images"),
        ({"loss": {"kind": "mse"}}, "loss mse is for regression, the data are for classification"),
        (
            {"data": {"kind": "sklearn", "name": "diabetes"}, "loss": {"kind": "cross_entropy"}},
            "for classification, the data are for regression",
        ),
        ({"data": {"kind": "npz", "path": "none.npz"}}, "there is no such file"),
    ],
)
def test_check_refuses_what_could_not_run(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        trainer.check(config(**changes), tmp_path)


def test_check_accepts_what_runs(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.random.rand(30, 4, 4), y=np.arange(30) % 3)
    data = {"kind": "npz", "path": "a.npz"}
    trainer.check(config(data=data, model={"kind": "cnn", "channels": [2]}), tmp_path)


def test_a_missing_gpu_is_refused(tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ResourceError, match="device cuda needs a GPU"):
        trainer.check(config(device="cuda"), tmp_path)


def test_rescale_moves_the_learning_rate_with_the_batch_size() -> None:
    tree = config(batch_lr={"batch_size": 64, "base_lr": 0.3}).model_dump(mode="json")
    moved = TrainConfig.model_validate(trainer.rescale(tree, Scale(256)).config)
    assert moved.batch_lr.base_lr == 0.3
    assert moved.derived() == {"learning_rate": pytest.approx(0.3)}
    assert moved.model_copy(update={"batch_lr": None}) == TrainConfig.model_validate(
        tree
    ).model_copy(update={"batch_lr": None})


@pytest.mark.parametrize("size", [0, -3, 1.5, 2**40])
def test_rescale_refuses_what_is_no_batch_size(size: Any) -> None:
    with pytest.raises(InputError, match=r"batch_lr\.batch_size: .* got"):
        trainer.rescale(config().model_dump(mode="json"), Scale(size))


def test_rescale_to_more_workers_keeps_the_rows_of_each() -> None:
    tree = config(batch_lr={"batch_size": 64, "base_lr": 0.3}).model_dump(mode="json")
    moved = trainer.rescale(tree, Scale(workers=4))
    assert moved.config["batch_lr"]["batch_size"] == 256
    assert moved.assumptions[0].startswith("each of 4 workers takes 64 rows of every step")
    assert not any("batch norm" in assumption for assumption in moved.assumptions)
    tree["model"]["normalization"] = {"kind": "batch"}
    assert any(
        assumption.startswith("batch norm's means and variances are those of all workers")
        for assumption in trainer.rescale(tree, Scale(workers=4)).assumptions
    )
    with pytest.raises(InputError, match="batch size 250 cannot be shared by 4 workers"):
        trainer.rescale(tree, Scale(250, workers=4))
    with pytest.raises(InputError, match="workers must be at least 1"):
        trainer.rescale(tree, Scale(workers=0))


def test_rescale_to_another_length() -> None:
    tree = config(early_stopping={"patience": 3}).model_dump(mode="json")
    moved = trainer.rescale(tree, Scale(epochs=90))
    assert moved.config == {**tree, "epochs": 90}
    assert "early_stopping.patience stays 3 epochs" in moved.assumptions
    cycles = {"schedule": {"kind": "warm_restarts"}, "early_stopping": {"at": "cycle_end"}}
    moved = trainer.rescale(config(**cycles).model_dump(mode="json"), Scale(epochs=90))
    assert "early_stopping.patience stays 5 cycles" in moved.assumptions
    with pytest.raises(InputError, match="epochs: "):
        trainer.rescale(tree, Scale(epochs=0))


@pytest.mark.parametrize("changes", [{}, EVERYTHING, {"early_stopping": {"patience": 3}}])
def test_a_config_survives_json(changes: dict[str, Any]) -> None:
    original = config(**changes)
    text = original.model_dump_json()
    json.loads(text, parse_constant=pytest.fail)  # strict JSON has no Infinity
    assert TrainConfig.model_validate_json(text) == original
    assert TrainConfig.model_validate(json.loads(text)) == original
    assert TrainConfig.model_validate(original.model_dump(mode="json")) == original


@pytest.mark.parametrize(
    "changes",
    [
        {"epoch": 3},
        {"epochs": 0},
        {"dropout": {"hidden": 0.95}},
        {"dropout": {"hidden": -0.1}},
        {"optimizer": {"kind": "sgd", "momentum": 1.0}},
        {"optimizer": {"kind": "sgd", "beta2": 0.9}},
        {"optimizer": {"kind": "adamm"}},
        {"batch_lr": {"base_lr": float("nan")}},
        {"batch_lr": {"base_lr": float("inf")}},
        {"clipping": {"norm": float("nan")}},
        {"clipping": {"norm": 0}},
        {"regularization": {"max_norm": {"radius": -1}}},
        {"data": {"kind": "function", "function": "no colon"}},
    ],
)
def test_what_is_out_of_bounds_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        config(**changes)


def test_every_part_can_be_listed() -> None:
    found = families()
    assert len(found["regularization"]) == len(Regularization.model_fields)
    assert len(found["data"]) == 7 and len(found["initialization"]) == 9
    assert len(found["model"]) == 10 and len(found["normalization"]) == 5
    assert len(found["optimizer"]) == 8 and len(found["schedule"]) == 11
    assert len(found["augmentation"]) == 10 and len(found["loss"]) == 3
    assert "epochs" not in found
    for name, members in found.items():
        for part in members:
            assert part.__doc__, part
            assert getattr(part, "reference", ""), f"{name}: {part.__name__} has no reference"
            for field, info in part.model_fields.items():
                assert field == "kind" or info.description, f"{part.__name__}.{field}"


def test_the_example_in_the_docstring_is_true() -> None:
    assert doctest.testmod(hpo.train.config).attempted == 2
    assert doctest.testmod(hpo.train.config).failed == 0
