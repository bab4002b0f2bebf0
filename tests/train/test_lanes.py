from __future__ import annotations

import json

import pytest
import torch
from train_helpers import EVERYTHING, config

from hpo.train.lanes import bind, fusion_key, knobs
from hpo.train.settings import per_lane


def test_knobs_are_the_per_lane_values_that_are_not_neutral() -> None:
    assert knobs(config()) == {
        "batch_lr.base_lr": 0.1,
        "optimizer.momentum": 0.9,
        "schedule.floor": 0.0,
        "warmup.fraction": 0.05,
        "initialization.gain": 1.0,
        "initialization.slope": 0.0,
    }
    assert {
        "regularization.l1.strength",
        "regularization.max_norm.radius",
        "dropout.input",
        "dropout.hidden",
        "loss.label_smoothing",
        "clipping.norm",
        "clipping.value",
    } < set(knobs(config(**EVERYTHING)))


@pytest.mark.parametrize(
    "changes",
    [
        {"batch_lr": {"batch_size": 16, "base_lr": 0.7}},
        {"optimizer": {"kind": "sgd", "momentum": 0.5}},
        {"warmup": {"fraction": 0.0}},
        {"initialization": {"kind": "kaiming", "gain": 0.3}},
    ],
)
def test_knobs_do_not_separate_trials(changes: dict[str, object]) -> None:
    assert fusion_key(config(**changes)) == fusion_key(config())


@pytest.mark.parametrize(
    "changes",
    [
        {"batch_lr": {"batch_size": 32}},
        {"model": {"kind": "mlp", "widths": [9]}},
        {"optimizer": {"kind": "adamw"}},
        {"optimizer": {"kind": "sgd", "momentum": 0.0}},
        {"dropout": {"hidden": 0.1}},
        {"regularization": {"l2": {"strength": 0.1}}},
        {"epochs": 5},
        {"data": {"kind": "sklearn", "name": "wine"}},
        {"precision": "float64"},
    ],
)
def test_structure_separates_trials(changes: dict[str, object]) -> None:
    assert fusion_key(config(**changes)) != fusion_key(config())


def test_the_key_is_json_without_the_knobs_values() -> None:
    tree = json.loads(fusion_key(config(**EVERYTHING)))
    assert tree["dropout"]["hidden"] == "per lane"
    assert tree["batch_lr"]["batch_size"] == 16


def test_bind_puts_tensors_where_the_numbers_were() -> None:
    original = config(**EVERYTHING)
    values = {path: torch.tensor(value) for path, value in knobs(original).items()}
    bound = bind(original, values)
    assert bound.dropout.hidden is values["dropout.hidden"]
    assert bound.regularization.l1 is not None
    assert bound.regularization.l1.strength is values["regularization.l1.strength"]
    assert bound.model is original.model
    assert original.dropout.hidden == 0.2, "the original is untouched"


@pytest.mark.parametrize("path", ["epochs", "model.widths", "dropout.hiden"])
def test_bind_refuses_what_is_not_per_lane(path: str) -> None:
    with pytest.raises(KeyError, match="not a per-lane field"):
        bind(config(), {path: 1.0})


def test_a_tensor_is_in_play_whatever_its_value() -> None:
    part = bind(config().dropout, {"hidden": torch.tensor(0.0)})
    assert part.in_play("hidden")
    assert not part.in_play("input")
    assert per_lane(type(part))["hidden"].neutral == 0.0
