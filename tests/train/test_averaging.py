"""Averages of weights: what they are of, and the statistics that belong to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from train_helpers import Run, config

from hpo.train import checkpoint
from hpo.train.builtin import trainer
from hpo.train.config import TrainConfig
from hpo.train.drivers import single
from hpo.train.order import orders
from hpo.train.problem import Problem, assemble
from hpo.train.progress import Progress
from hpo.train.protocols.ema import moving_average
from hpo.train.step import Step
from hpo.trainable import TrialStopped

EPOCHS, SEED = 5, 3
BATCH_NORM = {"kind": "mlp", "widths": [7], "normalization": {"kind": "batch"}}


def case(averaging: dict[str, Any] | None, **changes: Any) -> TrainConfig:
    base = {
        "precision": "float64",
        "epochs": EPOCHS,
        "batch_lr": {"batch_size": 16, "base_lr": 0.5},
        "protocol": {"averaging": averaging},
        "checkpoint_seconds": 0.0,
    }
    return config(**base | changes)


def epochs_of(folder: Path, of: TrainConfig) -> tuple[Problem, list[Progress]]:
    """Where a trial stands after each of its epochs."""
    problem = assemble(of, folder)
    training = single.Training(problem, SEED)
    path = [training.start()]
    for _ in range(EPOCHS):
        path.append(training.epoch(path[-1]))
    return problem, path[1:]


def kept(progress: Progress) -> torch.Tensor:
    assert progress.kept is not None
    return progress.kept.params


def test_a_moving_average_weighs_each_step_less_than_the_next() -> None:
    steps = torch.randn(6, 4, dtype=torch.float64)
    average = torch.full((4,), 7.0, dtype=torch.float64)  # has no weight
    for t, params in enumerate(steps):
        average = moving_average(average, params, 0.8, torch.tensor(float(t)).double())
    weights = torch.tensor([0.8 ** (5 - t) for t in range(6)], dtype=torch.float64)
    assert torch.allclose(average, weights @ steps / weights.sum(), rtol=1e-12)


def test_a_long_memory_is_exact_in_single_precision() -> None:
    average = torch.zeros(1)
    for t in range(100):
        average = moving_average(average, torch.ones(1) * t, 0.999999, torch.tensor(float(t)))
    assert average.item() == pytest.approx(49.5, rel=1e-3), "the plain mean, all but"


def test_weights_of_every_later_epoch_weigh_the_same(tmp_path: Path) -> None:
    _, path = epochs_of(tmp_path, case({"kind": "swa", "start": 0.4}))
    _, plain = epochs_of(tmp_path, case(None))
    for epoch, (with_, without) in enumerate(zip(path, plain, strict=True), start=1):
        assert torch.equal(with_.params, without.params), "training itself is as without"
        taken = [each.params for each in plain[min(2, epoch - 1) : epoch]]
        assert torch.allclose(kept(with_), torch.stack(taken).mean(0), rtol=1e-12)
    assert path[-1].metrics["val_loss"] != plain[-1].metrics["val_loss"]


def test_weights_after_every_later_step_weigh_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[torch.Tensor] = []
    step = Step.__call__

    def watched(self: Step, *args: Any) -> Any:
        after = step(self, *args)
        taken.append(after[0])
        return after

    monkeypatch.setattr(Step, "__call__", watched)
    _, path = epochs_of(tmp_path, case({"kind": "swa", "start": 0.4, "every": "step"}))
    steps = len(taken) // EPOCHS
    assert torch.equal(kept(path[0]), taken[steps - 1])
    assert torch.equal(kept(path[1]), taken[2 * steps - 1])
    for epoch in (3, 4, 5):
        mean = torch.stack(taken[2 * steps : epoch * steps]).mean(0)
        assert torch.allclose(kept(path[epoch - 1]), mean, rtol=1e-12)


@pytest.mark.parametrize("averaging", [{"kind": "ema", "decay": 0.95}, {"kind": "swa"}])
def test_statistics_are_those_that_torch_measures_for_the_average(
    tmp_path: Path, averaging: dict[str, Any]
) -> None:
    problem, path = epochs_of(tmp_path, case(averaging, model=BATCH_NORM))
    train = problem.rows(problem.splits.train)
    inputs, size = train.x.shape[1], 16
    net = torch.nn.Sequential(
        torch.nn.Linear(inputs, 7, bias=False), torch.nn.BatchNorm1d(7)
    ).double()
    own = problem.layout.split(kept(path[-1]))
    names = ("layers.0.weight", "layers.0.gain", "layers.0.shift")
    for parameter, name in zip(net.parameters(), names, strict=True):
        parameter.data = own[name]
    (order,) = orders([SEED], [EPOCHS - 1], torch.arange(len(train.x)))
    batches = [rows for rows in torch.split(train.x[order], size) if len(rows) == size]
    torch.optim.swa_utils.update_bn(batches, net)
    last = path[-1].kept
    assert last is not None
    norm = net[1]
    assert torch.allclose(last.state["layers.0.mean"], norm.running_mean, rtol=1e-12)
    assert torch.allclose(last.state["layers.0.var"], norm.running_var, rtol=1e-12)
    trained = path[-1].state["model"]
    assert not torch.allclose(trained["layers.0.mean"], norm.running_mean, rtol=1e-3)


NET = """
from torch import nn


def net(inputs, outputs):
    return nn.Sequential(nn.Linear(*inputs, 7, bias=False), nn.BatchNorm1d(7), nn.ReLU(),
                         nn.Linear(7, outputs))


class Scaled(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.linear = nn.Linear(*inputs, outputs)
        self.register_buffer("scale", __import__("torch").ones(1))

    def forward(self, x):
        return self.linear(x * self.scale)
"""


def test_a_module_of_ones_own_is_measured_as_well(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text(NET)
    model = {"kind": "custom", "build": "nets:net"}
    problem, path = epochs_of(tmp_path, case({"kind": "ema"}, model=model))
    last, trained = path[-1].kept, path[-1].state["model"]
    assert last is not None
    assert last.state["1.num_batches_tracked"] == trained["1.num_batches_tracked"]
    weight = problem.layout.split(last.params)["0.weight"]
    train = problem.rows(problem.splits.train)
    means = (train.x @ weight.T).mean(0)
    assert torch.allclose(last.state["1.running_mean"], means, rtol=0.3, atol=0.1)
    assert not torch.equal(last.state["1.running_mean"], trained["1.running_mean"])


@pytest.mark.parametrize("repeats", [1, 2])
def test_buffers_that_are_no_statistics_stay(tmp_path: Path, repeats: int) -> None:
    (tmp_path / "nets.py").write_text(NET)
    model = {"kind": "custom", "build": "nets:Scaled"}
    run = Run(tmp_path)
    trainer.run(case({"kind": "ema"}, model=model, repeats=repeats), run.trial())
    tensors, _ = checkpoint.read(tmp_path / "ck" / "model.safetensors")
    assert tensors["scale"].item() == 1.0


@pytest.mark.parametrize("kind", ["ema", "swa"])
@pytest.mark.parametrize("repeats", [1, 2])
def test_a_stopped_trial_goes_on_with_its_average(tmp_path: Path, kind: str, repeats: int) -> None:
    of = case({"kind": kind}, model=BATCH_NORM, repeats=repeats)
    whole = Run(tmp_path / "whole")
    result = trainer.run(of, whole.trial())
    for stop in (1, 4):
        cut = Run(tmp_path / f"cut-{stop}", stop_at=stop)
        with pytest.raises(TrialStopped):
            trainer.run(of, cut.trial())
        cut.stop_at = None
        assert trainer.run(of, cut.trial()) == pytest.approx(result, rel=1e-12)
    tested = trainer.test(of, whole.trial())
    assert tested == trainer.test(of, cut.trial())
