"""Dense, sparse, dense: what is pruned, for how long, and how the weights come back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from train_helpers import config

from hpo.errors import InputError
from hpo.functional import dsd_mask
from hpo.train.builtin import trainer
from hpo.train.config import TrainConfig
from hpo.train.drivers import single
from hpo.train.problem import Problem, assemble
from hpo.train.progress import Progress
from hpo.train.timetable import Timetable

EPOCHS, FIRST, SECOND = 10, 4, 7
NAME = "protocol.dsd"


def case(dsd: dict[str, Any] | None, **changes: Any) -> TrainConfig:
    base: dict[str, Any] = {
        "precision": "float64",
        "epochs": EPOCHS,
        "batch_lr": {"batch_size": 16, "base_lr": 0.5},
        "schedule": {"kind": "constant"},
        "warmup": {"fraction": 0.0},
        "optimizer": {"kind": "sgd", "momentum": 0.9},
        "regularization": {"weight_decay": {"strength": 0.01}},
        "protocol": {"dsd": dsd},
    }
    return config(**base | changes)


def epochs_of(folder: Path, of: TrainConfig) -> tuple[Problem, list[Progress]]:
    problem = assemble(of, folder)
    training = single.Training(problem, seed=3)
    path = [training.start()]
    for _ in range(EPOCHS):
        path.append(training.epoch(path[-1]))
    return problem, path


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_what_is_pruned_stays_at_zero_and_comes_back(tmp_path: Path, optimizer: str) -> None:
    of = case({"sparsity": 0.4}, optimizer={"kind": optimizer})
    problem, path = epochs_of(tmp_path, of)
    at_the_end = problem.layout.split(path[FIRST].params)
    masks = {
        name: dsd_mask(value, 0.4) for name, value in at_the_end.items() if name.endswith("weight")
    }
    for progress in path[1 : FIRST + 1]:
        assert progress.params.all(), "dense"
    for progress in path[FIRST + 1 : SECOND + 1]:
        for name, value in problem.layout.split(progress.params).items():
            if name.endswith("weight"):
                assert torch.equal(value != 0, masks[name]), "always the same ones"
                assert (value == 0).sum() == int(0.4 * value.numel())
            else:
                assert value.all(), "biases are exempt"
    for progress in path[SECOND + 1 :]:
        assert progress.params.all(), "dense again"


def test_the_last_phase_starts_with_the_sparse_weights_and_no_memory_of_others(
    tmp_path: Path,
) -> None:
    of = case({"sparsity": 0.4})
    problem, path = epochs_of(tmp_path, of)
    training = single.Training(problem, seed=3)
    sparse = path[SECOND]
    mask = sparse.state[NAME]["mask"]
    params, state = training._step.before_epoch(
        sparse.params, sparse.state, training._knobs, 3, SECOND, EPOCHS
    )
    assert torch.equal(params, sparse.params) and not params[~mask].any()
    assert state[NAME]["mask"].all()
    velocity = state["optimizer"]["velocity"]
    assert not velocity[~mask].any() and sparse.state["optimizer"]["velocity"][~mask].any()
    assert torch.equal(velocity[mask], sparse.state["optimizer"]["velocity"][mask])


def test_the_last_phase_has_a_lower_rate(tmp_path: Path) -> None:
    rates = Timetable.of(case({"sparsity": 0.4, "final_rate": 0.2}), rows=32).rates
    plain = Timetable.of(case(None), rows=32).rates
    assert torch.equal(rates[: 2 * SECOND], plain[: 2 * SECOND])
    assert torch.allclose(rates[2 * SECOND :], 0.2 * plain[2 * SECOND :])


def test_a_sparsity_of_zero_is_no_dsd_at_all(tmp_path: Path) -> None:
    absent, neutral = case(None), case({"sparsity": 0.0, "dense": 0.9, "sparse": 0.09})
    (_, without), (_, with_) = epochs_of(tmp_path, absent), epochs_of(tmp_path, neutral)
    assert torch.equal(without[-1].params, with_[-1].params)
    assert torch.equal(Timetable.of(absent, 32).rates, Timetable.of(neutral, 32).rates)


def test_only_the_layers_that_are_named_are_pruned(tmp_path: Path) -> None:
    problem, path = epochs_of(tmp_path, case({"sparsity": 0.5, "layers": ["layers.0"]}))
    own = problem.layout.split(path[FIRST + 1].params)
    assert (own["layers.0.weight"] == 0).any() and own["layers.1.weight"].all()
    with pytest.raises(InputError, match=r"^protocol\.dsd\.layers: the model has no weights conv"):
        trainer.check(case({"layers": "conv"}), tmp_path)


@pytest.mark.parametrize(
    ("dsd", "epochs", "message"),
    [
        (
            {"dense": 0.6, "sparse": 0.4},
            10,
            r"leave some for the last phase, got 0\.6 \+ 0\.4",
        ),
        ({}, 2, "must come to one epoch at least, got epochs 2"),
    ],
)
def test_phases_without_an_epoch_are_refused(
    dsd: dict[str, Any], epochs: int, message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        case(dsd, epochs=epochs)
