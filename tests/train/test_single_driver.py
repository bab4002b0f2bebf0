from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from train_helpers import EVERYTHING, Died, Run, config

from hpo.errors import HpoError
from hpo.train.config import TrainConfig
from hpo.train.data import load
from hpo.train.drivers import single
from hpo.train.drivers.single import run
from hpo.trainable import TrialStopped

MakeRun = Callable[..., Run]
DIGITS = {"data": {"kind": "sklearn", "name": "digits"}}
STOPPING = {"early_stopping": {"patience": 2}, "epochs": 30}


def reports(run: Run) -> dict[int, dict[str, float]]:
    return {report.step: dict(report.metrics) for report in run.reports}


def interrupted(case: TrainConfig, run_: Run, stops: tuple[int, ...]) -> dict[str, float]:
    """The result of a trial that was stopped and taken up again."""
    for stop in stops:
        run_.stop_at = stop
        with pytest.raises(TrialStopped):
            run(case, run_.trial())
    run_.stop_at = None
    return run(case, run_.trial())


# ---- training ----


@pytest.mark.parametrize(
    ("model", "optimizer", "worst"),
    [
        ({"kind": "mlp"}, {"kind": "sgd"}, 0.05),
        ({"kind": "cnn"}, {"kind": "sgd", "nesterov": True}, 0.09),
        ({"kind": "mlp", "widths": [64]}, {"kind": "adamw"}, 0.05),
        ({"kind": "mlp", "normalization": {"kind": "batch"}}, {"kind": "sgd"}, 0.05),
        ({"kind": "mlp", "normalization": {"kind": "weight"}}, {"kind": "sgd"}, 0.05),
        ({"kind": "cnn", "normalization": {"kind": "local_response"}}, {"kind": "sgd"}, 0.09),
        ({"kind": "resnet", "normalization": {"kind": "batch"}}, {"kind": "sgd"}, 0.06),
        ({"kind": "resnet", "normalization": {"kind": "layer"}}, {"kind": "adamw"}, 0.08),
    ],
)
def test_digits_are_learned(
    make_run: MakeRun, model: dict[str, Any], optimizer: dict[str, Any], worst: float
) -> None:
    rate = 0.05 if optimizer["kind"] == "adamw" else 0.2
    case = config(**DIGITS, model=model, optimizer=optimizer, epochs=8, batch_lr={"base_lr": rate})
    trial = make_run()
    result = run(case, trial.trial())
    assert set(result) == {"train_loss", "val_loss", "val_error", "best_epoch", "epochs"}
    assert result["val_error"] < worst
    assert list(reports(trial)) == list(range(1, 9))
    assert reports(trial)[8].items() <= result.items()
    assert reports(trial)[1]["train_loss"] > reports(trial)[8]["train_loss"]
    tested = single.test(case, trial.trial())
    assert set(tested) == {"test_loss", "test_error"}
    assert tested["test_error"] < worst + 0.02


def test_regression_is_scored_in_the_targets_own_units(make_run: MakeRun) -> None:
    case = config(data={"kind": "sklearn", "name": "diabetes"}, epochs=5, precision="float64")
    trial = make_run()
    result = run(case, trial.trial())
    splits = load(case.data, trial.folder)
    weights = load_file(trial.folder / "ck" / "model.safetensors")
    h = np.maximum(
        splits.validation.x @ weights["layers.0.weight"].numpy().T
        + weights["layers.0.bias"].numpy(),
        0,
    )
    outputs = h @ weights["layers.1.weight"].numpy().T + weights["layers.1.bias"].numpy()
    scale, offset = weights["targets.scale"].numpy(), weights["targets.offset"].numpy()
    predicted, truth = outputs * scale + offset, splits.validation.y * scale + offset
    assert truth.min() >= 25 and truth.max() <= 346, "disease progression as published"
    rmse = math.sqrt(((predicted - truth) ** 2).mean())
    assert result["val_rmse"] == pytest.approx(rmse, rel=1e-9)
    assert 40 < rmse < 80
    assert set(single.test(case, trial.trial())) == {"test_loss", "test_rmse"}


def test_a_seed_decides_everything(make_run: MakeRun) -> None:
    case = config(**EVERYTHING)
    first, second = run(case, make_run("a").trial()), run(case, make_run("b").trial())
    assert first == second
    assert run(case, make_run("c", seed=8).trial()) != first


def test_the_epoch_loss_is_the_mean_over_rows(make_run: MakeRun) -> None:
    """At a learning rate of almost 0 it must equal the loss of the initial weights."""
    frozen = {"batch_lr": {"base_lr": 1e-12, "batch_size": 7}, "precision": "float64"}
    result = run(config(**frozen, epochs=1), make_run("a").trial())
    whole = {"batch_lr": {"base_lr": 1e-12, "batch_size": 4096}, "precision": "float64"}
    same = run(config(**whole, epochs=1), make_run("b").trial())
    assert result["train_loss"] == pytest.approx(same["train_loss"], rel=1e-6)


def test_a_divergence_is_reported_and_nothing_is_raised(make_run: MakeRun) -> None:
    trial = make_run()
    run(config(batch_lr={"base_lr": 100, "base_batch_size": 1}, epochs=6), trial.trial())
    assert not math.isfinite(reports(trial)[6]["train_loss"])


# ---- early stopping ----


def test_early_stopping_keeps_the_best_weights(make_run: MakeRun) -> None:
    case = config(
        **DIGITS | STOPPING,
        batch_lr={"base_lr": 3.0, "batch_size": 64},
        schedule={"kind": "constant"},
    )
    trial = make_run()
    result = run(case, trial.trial())
    losses = {epoch: metrics["val_loss"] for epoch, metrics in reports(trial).items()}
    best = min(losses, key=lambda epoch: losses[epoch])
    assert result["best_epoch"] == best
    assert result["epochs"] == best + 2 == len(losses) < 30
    assert result["val_loss"] == losses[best]
    # The file has the weights of that epoch: validated again, they give its loss.
    undisturbed = config(
        **DIGITS,
        epochs=30,
        batch_lr={"base_lr": 3.0, "batch_size": 64},
        schedule={"kind": "constant"},
    )
    other = make_run("other", stop_at=best)
    with pytest.raises(TrialStopped):
        run(undisturbed, other.trial())
    kept = load_file(trial.folder / "ck" / "model.safetensors")["layers.0.bias"]
    running = load_file(other.folder / "ck" / "running.safetensors")["params"]
    start = 64 * 8
    assert torch.equal(kept, running[start : start + 8])


def test_the_best_weights_keep_their_own_running_statistics(make_run: MakeRun) -> None:
    normalised = {
        "model": {"kind": "mlp", "widths": [8], "normalization": {"kind": "batch"}},
        "batch_lr": {"base_lr": 3.0, "batch_size": 64},
        "schedule": {"kind": "constant"},
    }
    trial = make_run()
    result = run(config(**DIGITS | STOPPING, **normalised), trial.trial())
    best = int(result["best_epoch"])
    assert best < result["epochs"]
    kept = load_file(trial.folder / "ck" / "model.safetensors")
    running = []
    for epoch in (best, best + 1):
        other = make_run(f"until {epoch}", stop_at=epoch)
        with pytest.raises(TrialStopped):
            run(config(**DIGITS, epochs=30, **normalised), other.trial())
        running.append(load_file(other.folder / "ck" / "running.safetensors"))
    for name in ("layers.0.mean", "layers.0.var"):
        then, later = (tensors[f"state/model/{name}"] for tensors in running)
        assert torch.equal(kept[name], then), name
        assert not torch.equal(kept[name], later), name


@pytest.mark.parametrize(
    ("val_loss", "best", "better"),
    [
        (0.89, 1.0, True),
        (0.9, 1.0, False),
        (1.0, 1.0, False),
        (math.nan, 1.0, False),
        (5.0, math.nan, True),
        (math.nan, math.nan, False),
        (5.0, math.inf, True),
    ],
)
def test_what_counts_as_better(val_loss: float, best: float, better: bool) -> None:
    stopping = config(early_stopping={"min_delta": 0.1}).early_stopping
    assert stopping is not None
    assert stopping.better(val_loss, best) is better


# ---- going on after an interruption ----


@pytest.mark.parametrize("normalization", ["none", "batch"])
@pytest.mark.parametrize("optimizer", [{"kind": "sgd"}, {"kind": "adamw"}])
@pytest.mark.parametrize("stopping", [{}, {"early_stopping": {"patience": 2}}])
def test_a_resumed_trial_gives_the_same_bits(
    make_run: MakeRun, normalization: str, optimizer: dict[str, Any], stopping: dict[str, Any]
) -> None:
    case = config(
        **EVERYTHING,
        model={"kind": "mlp", "widths": [8], "normalization": {"kind": normalization}},
        optimizer=optimizer,
        epochs=9,
        batch_lr={"base_lr": 0.5},
        **stopping,
    )
    whole, parts = make_run("whole"), make_run("parts")
    result = run(case, whole.trial())
    assert interrupted(case, parts, (1, 3, 4)) == result
    assert reports(parts) == reports(whole)
    for name, tensor in load_file(whole.folder / "ck" / "model.safetensors").items():
        other = load_file(parts.folder / "ck" / "model.safetensors")[name]
        assert torch.equal(tensor, other), name


def test_an_epoch_saved_but_not_reported_is_reported_again(make_run: MakeRun) -> None:
    trial = make_run(stop_at=2)
    with pytest.raises(TrialStopped):
        run(config(), trial.trial())
    trial.reports.clear()
    trial.stop_at = None
    run(config(), trial.trial())
    assert list(reports(trial)) == [2, 3, 4]


def test_what_a_killed_writer_leaves_does_no_harm(make_run: MakeRun) -> None:
    trial = make_run(stop_at=2)
    with pytest.raises(TrialStopped):
        run(config(), trial.trial())
    torn = trial.folder / "ck" / "running.safetensors.1.tmp"
    torn.write_bytes(b"half")
    trial.stop_at = None
    assert run(config(), trial.trial()) == run(config(), make_run("other").trial())
    assert not torn.exists()


@pytest.mark.parametrize(("seconds", "again"), [(0, 3), (3600, 1)])
def test_a_trial_that_died_goes_on_from_where_it_was_saved(
    make_run: MakeRun, seconds: float, again: int
) -> None:
    case = config(checkpoint_seconds=seconds)
    trial = make_run(die_at=3)
    with pytest.raises(Died):
        run(case, trial.trial())
    trial.die_at = None
    result = run(case, trial.trial())
    assert [report.step for report in trial.reports] == [1, 2, 3, *range(again, 5)]
    assert result == run(case, make_run("other").trial())


def test_a_trial_that_pauses_is_saved_however_rare_checkpoints_are(make_run: MakeRun) -> None:
    case = config(checkpoint_seconds=3600)
    trial = make_run()
    result = interrupted(case, trial, (2,))
    assert [report.step for report in trial.reports] == [1, 2, 2, 3, 4]
    assert result == run(case, make_run("other").trial())


def test_a_finished_trial_gives_its_result_again(make_run: MakeRun) -> None:
    trial = make_run()
    result = run(config(), trial.trial())
    assert [path.name for path in (trial.folder / "ck").iterdir()] == ["model.safetensors"]
    written = (trial.folder / "ck" / "model.safetensors").read_bytes()
    trial.reports.clear()
    assert run(config(), trial.trial()) == result
    assert list(reports(trial)) == [4]
    assert (trial.folder / "ck" / "model.safetensors").read_bytes() == written


def test_killed_between_leaving_the_model_and_removing_the_rest(make_run: MakeRun) -> None:
    trial = make_run(stop_at=4)
    with pytest.raises(TrialStopped):
        run(config(), trial.trial())
    running = trial.folder / "ck" / "running.safetensors"
    shutil.copy(running, trial.folder / "copy")
    trial.stop_at = None
    result = run(config(), trial.trial())
    shutil.copy(trial.folder / "copy", running)
    assert run(config(), trial.trial()) == result


@pytest.mark.parametrize("changes", [{"epochs": 9}, {"dropout": {"hidden": 0.5}}])
def test_a_checkpoint_of_another_config_is_refused(
    make_run: MakeRun, changes: dict[str, Any]
) -> None:
    trial = make_run(stop_at=2)
    with pytest.raises(TrialStopped):
        run(config(), trial.trial())
    with pytest.raises(HpoError, match="another config, seed or refit"):
        run(config(**changes), trial.trial())
    trial.seed = 8
    with pytest.raises(HpoError, match="another config, seed or refit"):
        run(config(), trial.trial())


def test_only_a_complete_trial_can_be_tested(make_run: MakeRun) -> None:
    with pytest.raises(HpoError, match="there is no such file"):
        single.test(config(), make_run().trial())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_trains_the_same_trial(make_run: MakeRun) -> None:
    case = config(**EVERYTHING, precision="float64")
    on_gpu = case.model_copy(update={"device": "cuda"})
    result = interrupted(on_gpu, (trial := make_run("gpu")), (2,))
    assert result == pytest.approx(run(case, make_run("cpu").trial()), rel=1e-6)
    assert single.test(on_gpu, trial.trial())["test_error"] < 1
