"""Several seeds of a config, taken as one model."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden import GOLDEN
from packs import member, pack
from pydantic import ValidationError
from train_helpers import Run, config

from hpo.errors import InputError
from hpo.functional import ensemble_error
from hpo.train.builtin import trainer
from hpo.train.config import TrainConfig
from hpo.train.data import load
from hpo.train.drivers import single
from hpo.train.drivers.fused import run_many
from hpo.train.ensemble import mean_probability
from hpo.train.noise import derive
from hpo.train.order import bootstraps
from hpo.train.problem import assemble
from hpo.train.progress import TrialFiles
from hpo.train.rows import Rows
from hpo.trainable import TrialStopped

SMALL: dict[str, Any] = {
    "precision": "float64",
    "batch_lr": {"batch_size": 9, "base_lr": 0.5},
    "repeats": 3,
    "checkpoint_seconds": 0.0,
}
NUMBERS = {"data": {"kind": "sklearn", "name": "diabetes"}, "batch_lr": {"batch_size": 32}}


def case(ensemble: str = "average", **changes: Any) -> TrainConfig:
    return config(**SMALL | {"ensemble": ensemble} | changes)


def rows_of(chosen: TrainConfig, folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Validation rows as a user has them."""
    splits = load(chosen.data, folder)
    rows, inputs, targets = splits.validation, splits.scale_inputs, splits.scale_targets
    x = rows.x * inputs.scale + inputs.offset
    return torch.from_numpy(x), torch.from_numpy(rows.y * targets.scale + targets.offset)


# ---- the formula ----


@pytest.mark.parametrize("name", GOLDEN["bagging_variance"]["cases"])
def test_error_of_an_ensemble(name: str) -> None:
    given = {key: float(value) for key, value in (pair.split("=") for pair in name.split())}
    found = ensemble_error(given["v"], given["c"], int(given["k"]))
    assert found == pytest.approx(GOLDEN["bagging_variance"]["cases"][name])


def test_means_are_those_of_probabilities_and_not_of_scores() -> None:
    sure, unsure = torch.tensor([0.0, 9.0]), torch.tensor([1.0, 0.0])
    both = torch.stack([sure, unsure])
    assert torch.allclose(mean_probability(both).exp(), both.softmax(1).mean(0))
    assert torch.isfinite(mean_probability(torch.tensor([[0.0, 500.0], [0.0, 400.0]]))).all()


# ---- draws with replacement ----


def test_each_member_draws_as_many_rows_as_there_are_with_replacement() -> None:
    n = 20_000
    first, second = bootstraps([1, 2], torch.arange(n))
    assert not torch.equal(first, second)
    assert torch.equal(first, bootstraps([1], torch.arange(n))[0]), "the same in every epoch"
    for draws in (first, second):
        assert draws.min() >= 0 and draws.max() < n
        share = len(draws.unique()) / n
        assert share == pytest.approx(1 - 1 / math.e, abs=4 * 0.31 / math.sqrt(n))
        assert draws.double().mean().item() == pytest.approx(n / 2, abs=4 * n / math.sqrt(12 * n))


def test_a_member_trains_on_what_it_has_drawn(tmp_path: Path) -> None:
    chosen = case("bagging", repeats=2)
    trainer.run(chosen, Run(tmp_path, seed=7).trial())
    problem, seed = assemble(chosen, tmp_path), derive(7, "repeat", 1)
    found, _ = TrialFiles(tmp_path / "ck" / "repeat-1", problem, seed).model()

    training = single.Training(problem, seed)
    x, y = training._train.x, training._train.y
    (draws,) = bootstraps([seed], torch.arange(len(x)))
    progress = training.start()
    training._train = Rows(x[draws], y[draws], x.device)
    for _ in range(chosen.epochs):
        progress = training.epoch(progress)
    assert (progress.params - found).abs().max() <= 1e-10


# ---- what is reported ----


@pytest.mark.parametrize("ensemble", ["average", "bagging"])
@pytest.mark.parametrize("data", [{}, NUMBERS])
def test_every_report_has_the_ensemble_beside_its_members(
    tmp_path: Path, ensemble: str, data: dict[str, Any]
) -> None:
    chosen, run = case(ensemble, **data), Run(tmp_path)
    result = dict(trainer.run(chosen, run.trial()))
    for report in run.reports:
        assert set(report.metrics) == trainer.metrics(chosen)
    together = {name for name in result if "ensemble" in name or "member" in name}
    assert {name: result[name] for name in together} == {
        name: run.reports[-1].metrics[name] for name in together
    }
    tested = trainer.test(chosen, run.trial())
    assert {name.replace("val_", "test_") for name in together} <= set(tested)
    assert trainer.run(chosen, run.trial()) == result, "a finished trial gives its result again"

    members = Run(tmp_path / "off")
    alone = trainer.run(case("off", **data), members.trial())
    for name, value in alone.items():
        assert (result[name] == pytest.approx(value, rel=1e-12)) == (
            ensemble == "average" or name in ("epochs", "epochs_se", "best_epoch", "best_epoch_se")
        ), "averaging changes nothing in the members, bagging does"


def test_the_score_is_that_of_the_mean_of_probabilities(tmp_path: Path) -> None:
    chosen, run = case(), Run(tmp_path)
    result = trainer.run(chosen, run.trial())
    weights = trainer.weights(chosen, run.trial())
    assert weights is not None and weights.name == "ensemble.safetensors"
    model = trainer.model(chosen, weights, tmp_path)
    x, y = rows_of(chosen, tmp_path)
    members = [
        trainer.model(case("off"), path, tmp_path)
        for path in (
            tmp_path / "ck" / folder / "model.safetensors"
            for folder in ("", "repeat-1", "repeat-2")
        )
    ]
    mean = torch.stack([member(x).softmax(1) for member in members]).mean(0)
    assert torch.allclose(model(x).softmax(1), mean, rtol=1e-9)
    assert result["val_ensemble_error"] == (mean.argmax(1) != y).double().mean().item()


def test_of_numbers_the_error_is_that_of_the_formula(tmp_path: Path) -> None:
    chosen, run = case("bagging", **NUMBERS), Run(tmp_path)
    result = trainer.run(chosen, run.trial())
    model = trainer.model(chosen, trainer.weights(chosen, run.trial()), tmp_path)
    x, y = rows_of(chosen, tmp_path)
    assert result["val_ensemble_rmse"] == pytest.approx(
        (model(x) - y).square().mean().sqrt().item()
    )
    assert result["val_ensemble_formula"] == pytest.approx(result["val_ensemble_rmse"], rel=1e-9)
    errors = torch.stack([member(x) - y for member in model.members])[..., 0]
    assert result["val_member_variance"] == pytest.approx(errors.square().mean().item())
    pairs = [(errors[i] * errors[j]).mean().item() for i in range(3) for j in range(i)]
    assert result["val_member_covariance"] == pytest.approx(np.mean(pairs))
    assert result["val_ensemble_rmse"] < result["val_rmse"], "a mean errs less than its members"


def test_members_that_stop_early_count_with_what_they_leave(tmp_path: Path) -> None:
    stopping = {"early_stopping": {"patience": 1}, "epochs": 12}
    chosen = case(**stopping, batch_lr={"batch_size": 9, "base_lr": 6.0}, repeats=4)
    run = Run(tmp_path, seed=3)
    result = trainer.run(chosen, run.trial())
    assert result["epochs_se"] > 0, "all stopped in the same epoch"
    model = trainer.model(chosen, trainer.weights(chosen, run.trial()), tmp_path)
    x, y = rows_of(chosen, tmp_path)
    wrong = (model(x).argmax(1) != y).double().mean().item()
    assert result["val_ensemble_error"] == wrong == run.reports[-1].metrics["val_ensemble_error"]


def test_an_ensemble_goes_on_where_it_stood(tmp_path: Path) -> None:
    chosen = case("bagging", **NUMBERS)
    whole = trainer.run(chosen, Run(tmp_path / "whole").trial())
    cut = Run(tmp_path / "cut", stop_at=2)
    with pytest.raises(TrialStopped):
        trainer.run(chosen, cut.trial())
    before = cut.reports[-1].metrics
    cut.stop_at = None
    assert trainer.run(chosen, cut.trial()) == pytest.approx(whole, rel=1e-12)
    assert cut.reports[2].metrics == pytest.approx(before, rel=1e-12), "it tells again where it was"


def test_ensembles_share_a_pack(tmp_path: Path) -> None:
    chosen = [case("bagging", dropout={"hidden": rate}) for rate in (0.1, 0.2)]
    together = pack([member(tmp_path, k, each) for k, each in enumerate(chosen)])
    run_many(together)
    for k, each in enumerate(chosen):
        result = trainer.run(each, Run(tmp_path / f"alone-{k}", seed=k).trial())
        assert together.ended[k] == pytest.approx(result, rel=1e-9)


def test_a_refit_has_nothing_to_be_scored_on(tmp_path: Path) -> None:
    chosen = case()
    refitted = member(tmp_path, 0, chosen)
    refitted.trial.refit = 2
    together = pack([refitted])
    run_many(together)
    assert set(together.reports[0][0].metrics) == {"train_loss", "train_loss_se"}
    assert trainer.weights(chosen, refitted.trial) is not None
    assert "test_ensemble_error" in trainer.test(chosen, refitted.trial)


# ---- what is exported ----


@pytest.mark.parametrize("kind", ["classes", "text", "inputs"])
def test_the_ensemble_is_exported(tmp_path: Path, kind: str) -> None:
    (tmp_path / "t.txt").write_text("the quick brown fox " * 40)
    changes: dict[str, Any] = {
        "classes": {"data": {"kind": "sklearn", "name": "wine", "scaling": "pca_whitening"}},
        "text": {
            "data": {"kind": "text", "path": "t.txt", "length": 7},
            "model": {"kind": "gru", "width": 8},
        },
        "inputs": {
            "data": {"kind": "sklearn", "name": "wine", "targets": "inputs"},
            "model": {"kind": "autoencoder", "widths": [8], "code": 3},
        },
    }[kind]
    chosen = case(**changes, epochs=1, repeats=2)
    run = Run(tmp_path)
    trainer.run(chosen, run.trial())
    weights = trainer.weights(chosen, run.trial())
    assert weights is not None
    model = trainer.model(chosen, weights, tmp_path)
    example = torch.from_numpy(trainer.example(chosen, weights, tmp_path))
    rows = torch.export.Dim.AUTO
    exported = torch.export.export(model, (example,), dynamic_shapes=[{0: rows}]).module()
    x = example.repeat(3, *(1,) * (example.ndim - 1))[:5]
    assert torch.equal(exported(x), model(x)) and not model.training
    first, second = (member(x) for member in model.members)
    assert not torch.allclose(first, second)
    if kind == "text":
        assert model.encode("the").shape == (1, 3) and model.vocabulary
    if kind == "inputs":
        assert torch.allclose(model(x), (first + second) / 2)


def test_one_member_is_no_ensemble() -> None:
    with pytest.raises(ValidationError, match="ensemble bagging needs several members, got"):
        config(ensemble="bagging")


def test_targets_of_different_kinds_have_no_common_mean(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("x,kind,size\n" + "1,a,2\n2,b,3\n3,a,5\n4,b,7\n" * 8)
    data = {"kind": "csv", "path": "rows.csv", "target": ["kind", "size"]}
    with pytest.raises(InputError, match="ensemble average averages one target"):
        trainer.check(case(data=data), tmp_path)
