"""A training function that says how its model is built."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

import hpo
from hpo.errors import InputError
from hpo.records import Decision, TrialSpec
from hpo.trainable import FunctionTrainable, Trial


def build(config):
    return torch.nn.Linear(3, config["classes"])


@hpo.model(build, inputs=(3,))
def train(config, trial):
    save_file(build(config).state_dict(), trial.checkpoint_dir / "model.safetensors")
    return {"loss": 0.0}


@pytest.fixture
def trial(tmp_path):
    return Trial(TrialSpec(0, {}, 0, ""), tmp_path, tmp_path / "ck", lambda _: Decision.GO_ON)


def test_its_weights_become_its_model(trial, tmp_path):
    trainable, config = FunctionTrainable(train, None), {"classes": 2}
    assert trainable.weights(config, trial) is None, "nothing was left yet"
    trainable.run(config, trial)
    weights = trainable.weights(config, trial)
    assert weights is not None
    model = trainable.model(config, weights, tmp_path)
    example = torch.from_numpy(trainable.example(config, weights, tmp_path))
    assert model(example).shape == (2, 2) and not model.training


def test_weights_of_another_model_are_refused(trial, tmp_path):
    trainable = FunctionTrainable(train, None)
    trainable.run({"classes": 2}, trial)
    weights = trainable.weights({}, trial)
    misfit = r"does not fit the model that build builds: (?s:.*)size mism"
    with pytest.raises(InputError, match=misfit):
        trainable.model({"classes": 5}, weights, tmp_path)


def test_without_a_builder_there_is_no_model(trial, tmp_path):
    trainable = FunctionTrainable(lambda config, trial: None, None)
    assert trainable.example({}, tmp_path / "w", tmp_path) is None
    with pytest.raises(InputError, match="does not say how its model is built"):
        trainable.model({}, tmp_path / "w", tmp_path)
