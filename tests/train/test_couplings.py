"""Values that follow from one another: batch size, learning rate, betas, weight decay."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from train_helpers import Run, config

from hpo.errors import InputError
from hpo.train.builtin import trainer
from hpo.train.config import TrainConfig
from hpo.train.drivers.single import run, value_and_grad
from hpo.train.lanes import bind, fusion_key, knobs
from hpo.train.layout import Layout
from hpo.train.noise import step_keys
from hpo.train.optimizers import AdamW
from hpo.train.regularizers import WeightDecay
from hpo.train.step import Batch, Knobs, Step
from hpo.trainable import Scale

MakeRun = Callable[..., Run]
ADAMW = {"kind": "adamw", "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}


def scaled(batch_size: int, base: int = 256, **optimizer: Any) -> TrainConfig:
    return config(
        optimizer=ADAMW | optimizer,
        batch_lr={
            "batch_size": batch_size,
            "base_batch_size": base,
            "base_lr": 0.01,
            "rule": "sqrt",
            "scale_betas": True,
        },
        precision="float64",
    )


def decayed(strength: float, rule: str = "product", **changes: Any) -> TrainConfig:
    decay = {"strength": strength, "decay_rule": rule}
    return config(regularization={"weight_decay": decay}, precision="float64", **changes)


# ---- betas and eps that follow the batch size ----


@pytest.mark.parametrize(
    ("batch_size", "expected"),
    [
        (1024, {"learning_rate": 0.02, "beta1": 0.6, "beta2": 0.996, "eps": 5e-9}),
        (256, {"learning_rate": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}),
        (64, {"learning_rate": 0.005, "beta1": 0.975, "beta2": 0.99975, "eps": 2e-8}),
    ],
)
def test_the_square_root_rule_of_adam(batch_size: int, expected: dict[str, float]) -> None:
    case = scaled(batch_size)
    assert case.derived() == pytest.approx(expected, rel=1e-12)
    assert case.optimizer == AdamW(), "the config keeps the values at the base batch size"


def test_the_memory_in_rows_is_kept() -> None:
    """1 / (1 - beta) steps of B rows each: what the rule is made for."""
    for size in (16, 2048):
        derived = scaled(size).derived()
        assert size / (1 - derived["beta1"]) == pytest.approx(256 / (1 - 0.9))
        assert size / (1 - derived["beta2"]) == pytest.approx(256 / (1 - 0.999))


def test_training_uses_the_scaled_values(make_run: MakeRun) -> None:
    written_out = config(
        optimizer={
            "kind": "adamw",
            "beta1": 1 - 4 * (1 - 0.9),
            "beta2": 1 - 4 * (1 - 0.999),
            "eps": 1e-8 / 2,
        },
        batch_lr={"batch_size": 32, "base_lr": 0.02, "rule": "none"},
        precision="float64",
    )
    result = run(scaled(32, base=8), make_run("scaled").trial())
    assert result == run(written_out, make_run("written").trial())
    plain = config(
        optimizer=ADAMW,
        batch_lr={"batch_size": 32, "base_lr": 0.02, "rule": "none"},
        precision="float64",
    )
    assert result != run(plain, make_run("plain").trial()), "the scale does nothing"


def test_at_the_base_batch_size_scaling_equals_absence(make_run: MakeRun) -> None:
    with_it = scaled(16, base=16)
    without = with_it.model_copy(
        update={"batch_lr": with_it.batch_lr.model_copy(update={"scale_betas": False})}
    )
    assert run(with_it, make_run("a").trial()) == run(without, make_run("b").trial())


def test_scaled_steps_equal_torch() -> None:
    case = scaled(64, base=16, eps=1e-3)
    like = torch.empty(0, dtype=torch.float64)
    part = Knobs.of(
        bind(
            case.model_copy(update={"loss": config(loss={"kind": "cross_entropy"}).loss}),
            {path: like.new_tensor(value) for path, value in knobs(case).items()},
        )
    ).optimizer
    generator = torch.Generator().manual_seed(0)
    found = torch.randn(20, generator=generator, dtype=torch.float64)
    parameter = found.clone().requires_grad_()
    optimizer = torch.optim.AdamW(
        [parameter], lr=0.02, betas=(0.6, 0.996), eps=5e-4, weight_decay=0.0
    )
    state = part.init_state(found)
    for t in range(50):
        parameter.grad = torch.randn(20, generator=generator, dtype=torch.float64)
        optimizer.step()
        direction, state = part.direction(parameter.grad, state, like.new_tensor(float(t)))
        found = found - 0.02 * direction
    assert (found - parameter.detach()).abs().max() < 1e-10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"batch_lr": {"scale_betas": True}, "optimizer": ADAMW},
            "scale_betas is part of rule sqrt, got rule linear; set rule: sqrt",
        ),
        (
            {"batch_lr": {"scale_betas": True, "rule": "none"}, "optimizer": ADAMW},
            "got rule none",
        ),
        (
            {"batch_lr": {"scale_betas": True, "rule": "sqrt"}},
            "is for Adam-type optimizers, got sgd; set optimizer.kind: adam",
        ),
        (
            {
                "batch_lr": {"scale_betas": True, "rule": "sqrt", "batch_size": 4096},
                "optimizer": ADAMW,
            },
            r"makes optimizer\.beta1 -0\.6 at 16 times the base batch size, it should be greater "
            "than or equal to 0; take a batch size nearer",
        ),
        (
            {
                "batch_lr": {"scale_betas": True, "rule": "sqrt", "batch_size": 1},
                "optimizer": ADAMW | {"beta2": 1 - 2**-53},
            },
            r"makes optimizer\.beta2 1 at .* less than 1",
        ),
    ],
)
def test_what_cannot_be_scaled_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        config(**changes)


def test_scaling_is_part_of_the_program_but_the_values_are_not() -> None:
    assert fusion_key(scaled(64)) == fusion_key(scaled(64, beta1=0.8, eps=1e-6))
    assert fusion_key(scaled(64)) != fusion_key(scaled(64, base=128))


# ---- weight decay as a product with the learning rate ----


def test_the_product_is_divided_by_the_scaled_learning_rate() -> None:
    case = decayed(0.001, batch_lr={"batch_size": 64, "base_lr": 0.8, "rule": "linear"})
    assert case.derived() == pytest.approx({"learning_rate": 0.2, "weight_decay": 0.005})
    part = case.regularizers()["regularization.weight_decay"]
    assert isinstance(part, WeightDecay)
    assert part.strength == pytest.approx(0.005)


def test_a_coefficient_is_left_as_it_is() -> None:
    case = decayed(0.3, "coefficient")
    assert case.regularizers()["regularization.weight_decay"] is case.regularization.weight_decay
    assert set(case.derived()) == {"learning_rate"}


def test_a_product_equals_the_coefficient_it_stands_for(make_run: MakeRun) -> None:
    rates = {"batch_lr": {"batch_size": 16, "base_lr": 1.6}}  # a learning rate of 0.1
    product = run(decayed(0.01, **rates), make_run("product").trial())
    coefficient = run(decayed(0.1, "coefficient", **rates), make_run("coefficient").trial())
    assert product == pytest.approx(coefficient, rel=1e-9)
    absent = run(config(precision="float64", **rates), make_run("absent").trial())
    assert product["val_loss"] != pytest.approx(absent["val_loss"], rel=1e-4)


def test_a_product_of_zero_equals_absence(make_run: MakeRun) -> None:
    absent = run(config(precision="float64"), make_run("absent").trial())
    assert run(decayed(0.0), make_run("zero").trial()) == absent


@pytest.mark.parametrize("base_lr", [0.01, 10.0])
def test_a_step_at_the_peak_takes_off_the_product(base_lr: float) -> None:
    """Whatever the learning rate: weights that get no gradient show the decay alone."""
    case = decayed(
        0.02,
        batch_lr={"batch_size": 16, "base_lr": base_lr},
        loss={"kind": "cross_entropy"},
        model={"kind": "mlp", "widths": []},
    )
    like = torch.empty(0, dtype=torch.float64)
    layout = Layout(case.model.shapes((5,), 3))
    step = Step(case, layout, like, value_and_grad)
    lane = Knobs.of(bind(case, {k: like.new_tensor(v) for k, v in knobs(case).items()}))
    params = torch.randn(layout.size, dtype=torch.float64)
    batch = Batch(
        torch.zeros(4, 5, dtype=torch.float64),
        torch.arange(4) % 3,
        like.new_tensor(0.0),
        like.new_tensor(case.batch_lr.learning_rate),
        step_keys(0, torch.arange(1))[0],
    )
    after, _, _ = step(params, step.init_state(params, lane), batch, lane)
    before, now = layout.split(params), layout.split(after)
    expected = 0.98 * before["layers.0.weight"]
    assert torch.allclose(now["layers.0.weight"], expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("strength", "rule", "base_lr", "message"),
    [
        (1.0, "product", 0.1, r"got 1 at learning rate 0\.1 .* \(product\)"),
        (2.0, "coefficient", 0.5, r"got 1 at learning rate 0\.5 .*strength 2 \(coefficient\)"),
    ],
)
def test_a_decay_of_everything_in_a_step_is_refused(
    strength: float, rule: str, base_lr: float, message: str
) -> None:
    rates = {"base_lr": base_lr, "rule": "none"}
    with pytest.raises(ValidationError, match=f"must be below 1.*{message}"):
        decayed(strength, rule, batch_lr=rates)
    decayed(strength * 0.99, rule, batch_lr=rates)


# ---- to another batch size ----


def moved(case: TrainConfig, batch_size: int) -> TrainConfig:
    tree = case.model_dump(mode="json")
    there = trainer.rescale(tree, Scale(batch_size)).config
    back = trainer.rescale(there, Scale(case.batch_lr.batch_size))
    assert back.config == tree, "there and back"
    return TrainConfig.model_validate(there)


@pytest.mark.parametrize(("rule", "factor"), [("linear", 4), ("sqrt", 2), ("none", 1)])
def test_rescale_follows_the_rule(rule: str, factor: float) -> None:
    case = decayed(0.01, batch_lr={"batch_size": 64, "base_lr": 0.4, "rule": rule})
    before, after = case.derived(), moved(case, 256).derived()
    assert after["learning_rate"] == pytest.approx(factor * before["learning_rate"])
    assert after["weight_decay"] == pytest.approx(before["weight_decay"] / factor)


def test_rescale_moves_the_betas() -> None:
    assert moved(scaled(64), 1024) == scaled(1024)
    assert moved(scaled(64), 1024).derived()["beta1"] == pytest.approx(0.6)


def test_rescale_keeps_where_the_batch_stops_growing() -> None:
    growing = {"kind": "growing_batch", "max_batch_size": 256}
    case = config(schedule=growing, epochs=10, batch_lr={"batch_size": 16})
    assert case.derived()["final_batch_size"] == 128
    assert moved(case, 64).derived()["final_batch_size"] == 256


@pytest.mark.parametrize(
    ("case", "batch_size", "message", "remedy"),
    [
        (scaled(64), 2816, r"batch size 2816: .*optimizer\.beta1 -0\.1 at 11 times", "nearer"),
        (
            config(schedule={"kind": "growing_batch", "max_batch_size": 128}, epochs=10),
            512,
            "batch size 512: .*max_batch_size must hold, got 512 and 128",
            "lower the one",
        ),
        (
            decayed(1.0, "coefficient", batch_lr={"batch_size": 64, "base_lr": 0.5}),
            1024,
            "batch size 1024: .*must be below 1.* got 2 at",
            "lower one of them",
        ),
    ],
)
def test_rescale_refuses_a_size_that_does_not_fit(
    case: TrainConfig, batch_size: int, message: str, remedy: str
) -> None:
    with pytest.raises(InputError, match=message) as refused:
        trainer.rescale(case.model_dump(mode="json"), Scale(batch_size))
    assert remedy in (refused.value.hint or "")


def test_no_derived_value_is_out_of_range() -> None:
    assert all(math.isfinite(value) for value in scaled(1, base=2**20).derived().values())
