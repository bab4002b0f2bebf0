from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from train_helpers import EVERYTHING, Run, config

from hpo.errors import InputError
from hpo.train.builtin import trainer
from hpo.train.config import TrainConfig
from hpo.train.drivers.single import run
from hpo.train.regularizers import Regularization, Regularizer
from hpo.train.regularizers.base import Context
from hpo.train.schedules import GrowingBatch, Stage
from hpo.train.timetable import Timetable
from hpo.trainable import TrialStopped

MakeRun = Callable[..., Run]
ROWS = 640
NO_WARMUP = {"warmup": {"fraction": 0.0}}
MILESTONES = [0.3, 0.6, 0.8]


def growing(max_batch_size: int = 64, growth: float = 2.0, **changes: Any) -> TrainConfig:
    schedule = {
        "kind": "growing_batch",
        "growth": growth,
        "milestones": MILESTONES,
        "max_batch_size": max_batch_size,
    }
    return config(**{"epochs": 10, "schedule": schedule} | changes)


def stages(case: TrainConfig) -> list[Stage]:
    return case.schedule.stages(case.batch_lr.batch_size, case.epochs)


# ---- the timetable ----


@pytest.mark.parametrize(
    ("growth", "max_batch_size", "sizes", "factors"),
    [
        (2.0, 1000, [16, 32, 64, 128], [1, 1, 1, 1]),
        (2.0, 64, [16, 32, 64, 64], [1, 1, 1, 1 / 2]),
        (2.0, 50, [16, 32, 50, 50], [1, 1, 50 / 64, 50 / 128]),
        (2.0, 16, [16, 16, 16, 16], [1, 1 / 2, 1 / 4, 1 / 8]),
        (1.5, 1000, [16, 24, 36, 54], [1, 1, 1, 1]),
        (1.1, 1000, [16, 17, 19, 21], [1, 17 / 17.6, 19 / 19.36, 21 / 21.296]),
        (1.0, 64, [16, 16, 16, 16], [1, 1, 1, 1]),
    ],
)
def test_the_batch_grows_and_then_the_rate_falls(
    growth: float, max_batch_size: int, sizes: list[int], factors: list[float]
) -> None:
    found = stages(growing(max_batch_size, growth))
    assert [stage.epochs for stage in found] == [3, 3, 2, 2]
    assert [stage.batch_size for stage in found] == sizes
    assert [stage.factor for stage in found] == pytest.approx(factors, rel=1e-12)


@pytest.mark.parametrize("max_batch_size", [16, 50, 64, 640])
def test_the_noise_scale_is_that_of_a_step_decay(max_batch_size: int) -> None:
    grown = Timetable.of(growing(max_batch_size, **NO_WARMUP), ROWS)
    steps_down = {"kind": "piecewise", "decay": 0.5, "milestones": MILESTONES}
    decayed = Timetable.of(config(epochs=10, schedule=steps_down, **NO_WARMUP), ROWS)
    assert decayed.batch_sizes == [16] * 10
    for epoch in range(10):
        (noise,) = (grown.rates[grown.steps(epoch)] / grown.batch_sizes[epoch]).unique()
        (other,) = (decayed.rates[decayed.steps(epoch)] / 16).unique()
        assert noise.item() == pytest.approx(other.item(), rel=1e-12)
    if max_batch_size > 16:
        assert len(grown.rates) < len(decayed.rates), "fewer updates for the same epochs"
    assert grown.rates[0] == decayed.rates[0] and grown.rates[-1] >= decayed.rates[-1]


def test_steps_are_counted_as_they_are() -> None:
    table = Timetable.of(growing(64), 90)
    assert table.batch_sizes == [16, 16, 16, 32, 32, 32, 64, 64, 64, 64]
    assert table.starts == [0, 6, 12, 18, 21, 24, 27, 29, 31, 33, 35]
    assert table.steps(3) == slice(18, 21)
    assert table.rates.shape == (35,)


def test_the_warmup_is_a_share_of_the_steps_there_are() -> None:
    case = growing(64, warmup={"fraction": 0.4}, batch_lr={"batch_size": 16, "base_lr": 1.6})
    rates = Timetable.of(case, 90).rates
    assert rates[:14].tolist() == pytest.approx([0.1 * (t + 1) / 14 for t in range(14)])
    assert rates[13:31].tolist() == pytest.approx([0.1] * 18), "the batch grows in its place"
    assert rates[31:].tolist() == pytest.approx([0.05] * 4)


def test_other_schedules_have_one_batch_size() -> None:
    table = Timetable.of(config(), 90)
    assert table.batch_sizes == [16] * 4 and table.starts == [0, 6, 12, 18, 24]
    expected = config().warmup.factors(config().schedule, 24) * config().batch_lr.learning_rate
    assert torch.equal(table.rates, expected)


# ---- what is refused ----


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"batch_lr": {"batch_size": 128}},
            r"batch_size <= schedule\.max_batch_size must hold, got 128 and 64; lower",
        ),
        ({"epochs": 1}, r"of 1 epochs are after epochs \[0, 1, 1\]; train for more epochs"),
        ({"epochs": 2}, r"are after epochs \[1, 1, 2\]"),
        ({"epochs": 3}, r"are after epochs \[1, 2, 2\]"),
    ],
)
def test_growth_that_cannot_take_place_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        growing(**changes)


@pytest.mark.parametrize("changes", [{"growth": 0.5}, {"growth": 101}, {"max_batch_size": 0}, {}])
def test_settings_out_of_bounds_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        GrowingBatch.model_validate(changes)


def test_a_batch_never_outgrows_the_training_split(tmp_path: Path, make_run: MakeRun) -> None:
    case = growing(128)
    with pytest.raises(InputError, match="batches grow to 128 rows, the training split has 90"):
        trainer.check(case, tmp_path)
    with pytest.raises(InputError, match="batches grow to 128 rows"):
        run(case, make_run().trial())
    trainer.check(growing(90), tmp_path)


def test_a_large_batch_that_does_not_grow_is_no_growth(tmp_path: Path) -> None:
    """As with any other schedule: all rows in one step."""
    trainer.check(growing(512, growth=1.0, batch_lr={"batch_size": 512}), tmp_path)


# ---- training ----

SIZES: list[int] = []


class Sizes(Regularizer):
    """Writes down how many rows a step has."""

    def on_batch(self, x: Any, y: Any, context: Context) -> Any:
        SIZES.append(len(x))
        return x, y


class Watched(Regularization):
    sizes: Sizes = Sizes()


class WatchedConfig(TrainConfig):
    regularization: Watched = Watched()


def test_steps_have_the_rows_they_should(make_run: MakeRun) -> None:
    SIZES.clear()
    case = growing(64)
    tree = case.model_dump(exclude={"regularization"})
    run(WatchedConfig.model_validate(tree), make_run().trial())
    assert SIZES == [16] * 5 + [10] + 2 * ([16] * 5 + [10]) + 3 * [32, 32, 26] + 4 * [64, 26]


def test_before_the_first_milestone_it_is_the_constant_schedule(make_run: MakeRun) -> None:
    grown, constant = make_run("grown"), make_run("constant")
    run(growing(64, **NO_WARMUP), grown.trial())
    run(config(epochs=10, schedule={"kind": "constant"}, **NO_WARMUP), constant.trial())
    first, second = ([r.metrics for r in trial.reports] for trial in (grown, constant))
    assert len(first) == len(second) == 10
    assert first[:3] == second[:3]
    assert first[3] != second[3]


def test_a_growth_of_one_equals_absence(make_run: MakeRun) -> None:
    result = run(growing(64, growth=1.0), make_run("one").trial())
    assert result == run(
        config(epochs=10, schedule={"kind": "constant"}), make_run("constant").trial()
    )


def interrupted(case: TrainConfig, trial: Run, stops: tuple[int, ...]) -> dict[str, float]:
    for trial.stop_at in stops:
        with pytest.raises(TrialStopped):
            run(case, trial.trial())
    trial.stop_at = None
    return run(case, trial.trial())


def same_bits(case: TrainConfig, make_run: MakeRun, stops: tuple[int, ...]) -> dict[str, float]:
    """The result of a trial, after showing that interruptions change nothing."""
    whole, parts = make_run("whole"), make_run("parts")
    result = run(case, whole.trial())
    assert interrupted(case, parts, stops) == result
    for name, tensor in load_file(whole.folder / "ck" / "model.safetensors").items():
        other = load_file(parts.folder / "ck" / "model.safetensors")[name]
        assert torch.equal(tensor, other), name
    return result


@pytest.mark.parametrize("optimizer", [{"kind": "sgd"}, {"kind": "adamw"}])
def test_a_resumed_trial_gives_the_same_bits(make_run: MakeRun, optimizer: dict[str, Any]) -> None:
    case = growing(50, **EVERYTHING, optimizer=optimizer, warmup={"fraction": 0.4})
    same_bits(case, make_run, (1, 3, 4, 6, 9))  # before, at and after milestones


def test_early_stopping_ends_it_as_any_other(make_run: MakeRun) -> None:
    case = growing(
        64,
        early_stopping={"patience": 2},
        epochs=40,
        batch_lr={"batch_size": 16, "base_lr": 20.0},
        warmup={"fraction": 0.0},
    )
    result = same_bits(case, make_run, (1, 2))
    assert result["best_epoch"] == result["epochs"] - 2 < 38


DATA: dict[str, dict[str, Any]] = {
    "regression": {"data": {"kind": "sklearn", "name": "diabetes"}},
    "images": {"data": {"kind": "npz", "path": "a.npz"}, "model": {"kind": "cnn", "channels": [2]}},
    "table": {"data": {"kind": "csv", "path": "a.csv", "target": "y"}},
}


@pytest.mark.parametrize("data", DATA)
def test_every_kind_of_data(make_run: MakeRun, tmp_path: Path, data: str) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "a.npz", x=rng.random((120, 4, 4)), y=np.arange(120) % 3)
    rows = (f"{x:.3f},{'a' if x < 0.5 else 'b'}" for x in rng.random(120))
    (tmp_path / "a.csv").write_text("\n".join(["x,y", *rows]))
    path = {k: str(tmp_path / v) for k, v in DATA[data]["data"].items() if k == "path"}
    case = growing(64, **DATA[data] | {"data": DATA[data]["data"] | path})
    assert same_bits(case, make_run, (4, 7))["epochs"] == 10
