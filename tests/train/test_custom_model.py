"""A torch.nn.Module of the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from packs import member, pack
from pydantic import ValidationError
from train_helpers import Run, config

from hpo.errors import InputError
from hpo.train.builtin import trainer
from hpo.train.config import TrainConfig
from hpo.train.drivers import single
from hpo.train.drivers.fused import run_many

CODE = '''
import torch
from torch import nn


def net(inputs, outputs, width=8, norm=False):
    layers = [nn.Linear(inputs[0], width), nn.BatchNorm1d(width) if norm else nn.Identity()]
    return nn.Sequential(*layers, nn.ReLU(), nn.Linear(width, outputs))


def dropping(inputs, outputs):
    return nn.Sequential(nn.Linear(inputs[0], 8), nn.Dropout(0.5), nn.Linear(8, outputs))


def wrong(inputs, outputs):
    return nn.Linear(inputs[0], outputs + 1)


def nothing(inputs, outputs):
    return None


def broken(inputs, outputs):
    raise KeyError("no such thing")


class Branching(nn.Module):
    """Looks into a tensor, which vmap does not allow."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.layer = nn.Linear(inputs, outputs)

    def forward(self, x):
        y = self.layer(x)
        return y if y.mean() > 0 else -y


class Mixing(nn.Module):
    """Keeps something of its own from one call to the next, which lanes would share."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.layer = nn.Linear(inputs, outputs)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.layer(x) * (1 + 0.1 * (self.calls % 7))


def branching(inputs, outputs):
    return Branching(inputs[0], outputs)


def mixing(inputs, outputs):
    return Mixing(inputs[0], outputs)
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "nets.py").write_text(CODE)
    return tmp_path


def custom(build: str = "net", **changes: Any) -> TrainConfig:
    model = {"kind": "custom", "build": f"nets:{build}", **changes.pop("model", {})}
    return config(model=model, precision="float64", checkpoint_seconds=0.0, **changes)


def test_it_trains_like_the_built_in_net_of_the_same_shape(folder: Path) -> None:
    run = Run(folder, seed=1)
    (folder / "builtin").mkdir()
    ours = single.run(custom(), run.trial())
    theirs = single.run(config(precision="float64"), Run(folder / "builtin", seed=1).trial())
    assert {k: v for k, v in ours.items() if "epoch" in k} == {"best_epoch": 4, "epochs": 4}
    # Same draws of the same matrices; biases begin at 0 there, where the module has them here.
    assert ours["val_loss"] == pytest.approx(theirs["val_loss"], rel=0.3)


@pytest.mark.parametrize("norm", [False, True])
def test_lanes_equal_trials_alone(folder: Path, norm: bool) -> None:
    cases = [
        custom(
            model={"settings": {"width": 6, "norm": norm}, "hidden": ["2"]},
            dropout={"hidden": 0.1 + 0.05 * k},
        )
        for k in range(3)
    ]
    assert trainer.why_alone(cases[0], folder) == ""
    together = pack([member(folder, k, case) for k, case in enumerate(cases)])
    run_many(together)
    for k, case in enumerate(cases):
        (folder / f"alone-{k}").mkdir()
        result = single.run(case, Run(folder / f"alone-{k}", seed=k).trial())
        assert together.ended[k] == pytest.approx(result, rel=1e-10)
    assert together.ended[0] != together.ended[1]


def test_hidden_activations_are_dropped_where_they_are_named(folder: Path) -> None:
    plain = single.run(custom(model={"hidden": ["2"]}), Run(folder / "plain", seed=1).trial())
    dropped = single.run(
        custom(model={"hidden": ["2"]}, dropout={"hidden": 0.5}),
        Run(folder / "dropped", seed=1).trial(),
    )
    assert dropped["train_loss"] > plain["train_loss"]


def test_what_it_keeps_survives_a_pause_and_is_exported(folder: Path) -> None:
    case = custom(model={"settings": {"norm": True}})
    run = Run(folder, seed=3, stop_at=2)
    with pytest.raises(BaseException, match="pause"):
        single.run(case, run.trial())
    run.stop_at = None
    result = single.run(case, run.trial())
    whole = single.run(case, Run(folder / "whole", seed=3).trial())
    assert result == pytest.approx(whole, rel=1e-12)

    weights = folder / "ck" / "model.safetensors"
    model = trainer.model(case, weights, folder)
    x = torch.from_numpy(trainer.example(case, weights, folder))
    exported = torch.export.export(model, (x,))
    assert torch.allclose(exported.module()(x), model(x))
    assert model(x).shape == (2, 3)


def test_it_goes_on_from_weights_of_its_own(folder: Path) -> None:
    case = custom(model={"settings": {"norm": True}})
    result = single.run(case, Run(folder, seed=3).trial())
    file = {"kind": "checkpoint", "path": str(folder / "ck" / "model.safetensors")}
    still = {"epochs": 1, "batch_lr": {"base_lr": 1e-30, "batch_size": 16}}
    on = custom(model={"settings": {"norm": True}}, initialization=file, **still)
    trainer.check(on, folder)
    reached = single.run(on, Run(folder / "on", seed=4).trial())
    assert reached["train_loss"] == pytest.approx(result["train_loss"], rel=0.2)


def test_a_text_is_not_for_it(folder: Path) -> None:
    (folder / "t.txt").write_text("abcdefg" * 40)
    case = custom(data={"kind": "text", "path": "t.txt", "length": 5})
    with pytest.raises(InputError, match="model custom is for classification") as error:
        trainer.check(case, folder)
    assert error.value.hint == "use model kind gru or lstm or transformer"


@pytest.mark.parametrize(
    ("build", "why"),
    [("branching", "torch.func.vmap cannot batch the model: "), ("mixing", "lanes of the model")],
)
def test_what_cannot_be_batched_is_told_and_trains_alone(
    folder: Path, build: str, why: str
) -> None:
    case = custom(build)
    assert trainer.why_alone(case, folder).startswith(why)
    assert single.run(case, Run(folder, seed=1).trial())["epochs"] == 4


@pytest.mark.parametrize(
    ("build", "told"),
    [
        ("dropping", r"1 draws random numbers of its own"),
        ("wrong", r"must return \(2, 3\), it returns \(2, 4\)"),
        ("nothing", "must return a torch.nn.Module, got NoneType"),
        ("broken", "failed: KeyError: 'no such thing'"),
        ("missing", "model.build: "),
    ],
)
def test_what_does_not_fit_is_refused_before_the_first_trial(
    folder: Path, build: str, told: str
) -> None:
    with pytest.raises(InputError, match=told):
        trainer.check(custom(build), folder)


def test_hidden_modules_must_exist(folder: Path) -> None:
    with pytest.raises(InputError, match=r"model\.hidden: the module has no relu"):
        trainer.check(custom(model={"hidden": ["relu"]}), folder)
    with pytest.raises(ValidationError, match=r"dropout\.hidden needs hidden activations"):
        custom(dropout={"hidden": 0.1})
