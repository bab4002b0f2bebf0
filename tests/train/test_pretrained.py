"""Training that starts from weights of an earlier one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from train_helpers import Run, config

from hpo.errors import InputError
from hpo.train.builtin import trainer
from hpo.train.config import TrainConfig
from hpo.train.drivers import single
from hpo.train.drivers.single import run
from hpo.train.lanes import fusion_key, knobs
from hpo.train.problem import assemble
from hpo.trainable import TrialStopped

MakeRun = Callable[..., Run]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """What a trial on iris has left, beside the study file."""
    trial = Run(tmp_path / "earlier")
    run(config(epochs=8, batch_lr={"batch_size": 16, "base_lr": 1.0}), trial.trial())
    left = trial.folder / "ck" / "model.safetensors"
    return left.rename(tmp_path / "earlier.safetensors")


def starting(folder: Path | None = None, **changes: Any) -> TrainConfig:
    name = "earlier.safetensors"
    path = name if folder is None else str(folder / name)
    more = {key: changes.pop(key) for key in ("head", "otherwise", "sha256") if key in changes}
    return config(initialization={"kind": "checkpoint", "path": path, **more}, **changes)


def first(case: TrainConfig, folder: Path, seed: int = 0) -> dict[str, torch.Tensor]:
    problem = assemble(case, folder)
    return problem.layout.split(problem.initial_params(seed))


def test_every_parameter_is_taken(weights: Path, tmp_path: Path) -> None:
    left = load_file(weights)
    found = first(starting(), tmp_path)
    assert {name: left[name].tolist() for name in found} == {
        n: t.tolist() for n, t in found.items()
    }
    assert set(left) - set(found), "scalings are passed over"


def test_training_goes_on_from_there(weights: Path, tmp_path: Path, make_run: MakeRun) -> None:
    still = {"epochs": 1, "batch_lr": {"base_lr": 1e-30}}
    anew = run(config(**still), make_run("anew").trial())
    on = run(starting(tmp_path, **still), make_run("on").trial())
    earlier = Run(tmp_path / "again")
    reached = run(config(epochs=8, batch_lr={"batch_size": 16, "base_lr": 1.0}), earlier.trial())
    assert on["val_loss"] == pytest.approx(reached["val_loss"], rel=1e-6)
    assert on["val_loss"] < anew["val_loss"] / 2


def test_a_random_head_is_drawn_for_other_targets(weights: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "other.npz", x=rng.normal(size=(60, 4)), y=np.arange(60) % 2)
    other = {"data": {"kind": "npz", "path": "other.npz"}}
    uniform = {"kind": "uniform", "bound": 0.5}
    case = starting(head="random", otherwise=uniform, **other)
    trainer.check(case, tmp_path)
    left, found, again = load_file(weights), first(case, tmp_path), first(case, tmp_path, seed=1)
    for name in ("layers.0.weight", "layers.0.bias"):
        assert torch.equal(found[name], left[name]) and torch.equal(again[name], left[name])
    head = found["layers.1.weight"]
    assert head.shape == (2, 8) and 0.3 < head.abs().max() <= 0.5
    assert not torch.equal(head, again["layers.1.weight"])
    assert found["layers.1.bias"].tolist() == [0.0, 0.0]
    with pytest.raises(InputError) as error:
        trainer.check(starting(**other), tmp_path)
    assert "layers.1.weight is (3, 8) in the file, (2, 8) in the model" in error.value.message
    assert "initialization.head: random" in error.value.hint


def test_a_random_head_is_drawn_even_if_the_old_one_fits(weights: Path, tmp_path: Path) -> None:
    left, found = load_file(weights), first(starting(head="random"), tmp_path)
    assert not torch.equal(found["layers.1.weight"], left["layers.1.weight"])


def test_all_heads_are_drawn_for_other_targets(tmp_path: Path, make_run: MakeRun) -> None:
    rng = np.random.default_rng(0)
    for name, targets in (("three", 3), ("two", 2)):
        np.savez(
            tmp_path / f"{name}.npz", x=rng.normal(size=(60, 4)), y=rng.normal(size=(60, targets))
        )
    model = {"kind": "multitask", "widths": [6], "head_widths": [5]}
    earlier = make_run("earlier")
    three = {"kind": "npz", "path": str(tmp_path / "three.npz")}
    run(config(data=three, model=model, epochs=1), earlier.trial())
    left = load_file(earlier.folder / "ck" / "model.safetensors")
    save_file(left, tmp_path / "earlier.safetensors")
    two = {"data": {"kind": "npz", "path": "two.npz"}, "model": model}
    found = first(starting(head="random", **two), tmp_path)
    for name, value in found.items():
        assert torch.equal(value, left[name]) == name.startswith("trunk."), name
    with pytest.raises(InputError, match=r"the model has no heads\.2\.0\.bias"):
        trainer.check(starting(**two), tmp_path)


@pytest.mark.parametrize("model", [{"kind": "mlp", "widths": []}, {"kind": "diagonal"}])
def test_a_random_head_needs_layers_before_it(tmp_path: Path, model: dict[str, Any]) -> None:
    save_file({"u": torch.ones(1, 10), "v": torch.ones(1, 10)}, tmp_path / "earlier.safetensors")
    case = starting(head="random", data={"kind": "sklearn", "name": "diabetes"}, model=model)
    with pytest.raises(InputError, match="needs a last layer with others before it") as error:
        trainer.check(case, tmp_path)
    assert "head: keep" in error.value.hint


def test_a_state_dict_of_torch_will_do(tmp_path: Path) -> None:
    net = torch.nn.Sequential()
    net.add_module("layers", torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 3)))
    save_file(net.double().state_dict(), tmp_path / "earlier.safetensors")
    found = first(starting(), tmp_path)
    for name, tensor in net.state_dict().items():
        assert torch.equal(found[name], tensor.float())


@pytest.mark.parametrize(
    ("model", "faults"),
    [
        (
            {"widths": [9]},
            [
                "layers.0.weight is (8, 4) in the file, (9, 4) in the model",
                "layers.0.bias is (8,) in the file, (9,) in the model",
            ],
        ),
        ({"widths": [8, 3]}, ["the file has no layers.2.weight", "the file has no layers.2.bias"]),
        ({"widths": []}, ["the model has no layers.1.weight"]),
    ],
)
def test_what_does_not_fit_is_refused_whole(
    weights: Path, tmp_path: Path, model: dict[str, Any], faults: list[str]
) -> None:
    case = starting(model={"kind": "mlp", **model})
    for call in (trainer.check, first):
        with pytest.raises(InputError, match="does not fit the model") as error:
            call(case, tmp_path)
        assert all(fault in error.value.message for fault in faults)


def test_files_that_cannot_be_read(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file") as error:
        trainer.check(
            config(initialization={"kind": "checkpoint", "path": "earlyer.safetensors"}), tmp_path
        )
    assert "did you mean 'earlier.safetensors'?" in error.value.hint
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(InputError, match="cannot be read as safetensors"):
        trainer.check(starting(), tmp_path)


def test_a_digest_pins_the_file(weights: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    trainer.check(starting(sha256=digest), tmp_path)
    tensors = load_file(weights)
    tensors["layers.0.bias"] += 1
    save_file(tensors, weights)
    trainer.check(starting(), tmp_path)
    with pytest.raises(InputError, match=f"must have the digest .*{digest}, got"):
        trainer.check(starting(sha256=digest), tmp_path)
    with pytest.raises(ValidationError):
        starting(sha256="abc")


def test_the_file_is_needed_for_the_first_step_alone(
    weights: Path, tmp_path: Path, make_run: MakeRun
) -> None:
    case = starting(tmp_path)
    whole, parts = make_run("whole"), make_run("parts", stop_at=2)
    result = run(case, whole.trial())
    with pytest.raises(TrialStopped):
        run(case, parts.trial())
    weights.unlink()
    parts.stop_at = None
    assert run(case, parts.trial()) == result
    assert single.test(case, whole.trial())["test_error"] < 0.3
    left = trainer.weights(case, whole.trial())
    assert left is not None
    trainer.model(case, left, tmp_path)
    with pytest.raises(InputError, match="no such file"):
        run(case, make_run("new").trial())


def test_the_digests_of_the_data_are_those_of_its_rows(weights: Path, tmp_path: Path) -> None:
    """So that starting from a checkpoint can be compared with starting anew."""
    assert trainer.fingerprint(starting(), tmp_path) == trainer.fingerprint(config(), tmp_path)


def test_the_gain_of_a_random_head_differs_between_lanes(weights: Path, tmp_path: Path) -> None:
    one, other = (
        starting(head="random", otherwise={"kind": "xavier", "gain": gain}) for gain in (0.5, 2.0)
    )
    assert knobs(one)["initialization.otherwise.gain"] == 0.5
    assert fusion_key(one) == fusion_key(other)
    heads = [first(case, tmp_path)["layers.1.weight"] for case in (one, other)]
    assert torch.allclose(heads[0] * 4, heads[1])
