from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from hpo.train.batch_lr import BatchLr
from hpo.train.schedules import (
    Constant,
    Cosine,
    Exponential,
    InverseTime,
    Linear,
    NaturalExponential,
    OneCycle,
    Piecewise,
    SchedulePart,
    Triangular,
    WarmRestarts,
    Warmup,
)

NO_WARMUP = Warmup(fraction=0.0)

EVERY = [
    Constant(),
    Cosine(),
    Cosine(floor=1.0),
    Piecewise(),
    InverseTime(),
    Exponential(),
    NaturalExponential(),
    Linear(),
    OneCycle(),
    Triangular(),
    Triangular(decay=0.5),
    WarmRestarts(),
    WarmRestarts(cycles=7, growth=1.0),
]


def test_cosine() -> None:
    rates = 0.1 * Cosine().factor(torch.arange(101, dtype=torch.float64), 100)
    expected = {
        0: 0.1,
        1: 0.09997532801828658,
        25: 0.08535533905932738,
        50: 0.05,
        75: 0.014644660940672627,
        100: 0.0,
    }
    for t, rate in expected.items():
        assert rates[t].item() == pytest.approx(rate, rel=1e-6, abs=1e-15)


def test_cosine_with_a_floor_equals_torch() -> None:
    parameter = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    stock = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40, eta_min=0.02)
    expected = []
    for _ in range(40):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        stock.step()
    found = 0.1 * NO_WARMUP.factors(Cosine(floor=0.2), 40)
    assert found.tolist() == pytest.approx(expected, rel=1e-9)


def test_piecewise_equals_torch() -> None:
    part = Piecewise(decay=0.1, milestones=(0.3, 0.6, 0.9))
    rates = 0.1 * part.factor(torch.arange(100, dtype=torch.float64), 100)
    expected = {0: 0.1, 29: 0.1, 30: 0.01, 59: 0.01, 60: 0.001, 90: 0.0001, 99: 0.0001}
    for t, rate in expected.items():
        assert rates[t].item() == pytest.approx(rate, rel=1e-6)

    parameter = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    stock = torch.optim.lr_scheduler.MultiStepLR(optimizer, [30, 60, 90], gamma=0.1)
    for rate in rates.tolist():
        assert rate == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        stock.step()


@pytest.mark.parametrize(
    ("part", "total", "rate", "expected"),
    [
        (
            InverseTime(final=1 / 11),
            100,
            0.1,
            {0: 0.1, 1: 0.09090909090909091, 10: 0.05, 100: 0.009090909090909092},
        ),
        (
            Exponential(final=0.96**100),
            100,
            0.1,
            {0: 0.1, 1: 0.096, 10: 0.06648326359915008, 100: 0.0016870318359849588},
        ),
        (
            NaturalExponential(rate=4.0),
            100,
            0.1,
            {0: 0.1, 1: 0.09607894391523232, 10: 0.06703200460356394, 100: 0.001831563888873418},
        ),
        (Linear(floor=0.2), 100, 0.1, {0: 0.1, 25: 0.08, 50: 0.06, 100: 0.02}),
        (
            Triangular(cycles=2, floor=0.1),
            40,
            0.1,
            {0: 0.01, 5: 0.055, 10: 0.1, 15: 0.055, 20: 0.01, 30: 0.1, 40: 0.01},
        ),
        (
            Triangular(cycles=3, floor=0.1, decay=0.5),
            60,
            0.1,
            {0: 0.01, 10: 0.1, 20: 0.01, 30: 0.055, 40: 0.01, 50: 0.0325},
        ),
        (
            WarmRestarts(cycles=4, growth=2.0, floor=0.01),
            150,
            0.1,
            {
                0: 0.1,
                5: 0.0505,
                9: 0.0034227024433899004,
                10: 0.1,
                20: 0.0505,
                29: 0.001609427140540686,
                30: 0.1,
                50: 0.0505,
                69: 0.0011525919802101658,
                70: 0.1,
                150: 0.001,
            },
        ),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_known_values(
    part: SchedulePart, total: int, rate: float, expected: dict[int, float]
) -> None:
    rates = rate * part.factor(torch.arange(total + 1, dtype=torch.float64), total)
    for t, value in expected.items():
        assert rates[t].item() == pytest.approx(value, rel=1e-6), t


@pytest.mark.parametrize("total", [4, 10, 97])
def test_one_cycle_equals_torch(total: int) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1, momentum=0.9)
    stock = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=total)
    expected = []
    for step in range(total):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step < total - 1:
            stock.step()
    assert (0.1 * NO_WARMUP.factors(OneCycle(), total)).tolist() == pytest.approx(
        expected, rel=1e-9
    )


def test_more_cycles_than_steps() -> None:
    for part in (Triangular(cycles=9), WarmRestarts(cycles=9)):
        factors = part.factor(torch.arange(4, dtype=torch.float64), 3)
        assert ((factors >= 0) & (factors <= 1)).all()


@pytest.mark.parametrize("part", EVERY, ids=lambda part: part.kind)
def test_a_schedule_moves_with_the_length_of_training(part: SchedulePart) -> None:
    short = part.factor(torch.arange(840, dtype=torch.float64), 840)
    long = part.factor(torch.arange(0, 8400, 10, dtype=torch.float64), 8400)
    apart = (short - long).abs()
    # Milestones and restarts fall on whole steps, and one_cycle counts from the first to the last.
    assert apart.mean() < 0.01


def test_piecewise_without_decay_is_constant() -> None:
    found = NO_WARMUP.factors(Piecewise(decay=1.0), 40)
    assert torch.equal(found, NO_WARMUP.factors(Constant(), 40))


@pytest.mark.parametrize("milestones", [[], [0.0], [1.0], [0.5, 0.5], [0.6, 0.3], [0.5] * 200])
def test_milestones_are_increasing_shares(milestones: list[float]) -> None:
    with pytest.raises(ValidationError, match="milestones"):
        Piecewise.model_validate({"milestones": milestones})


def test_the_decay_starts_after_the_warmup() -> None:
    rates = 0.1 * Warmup(fraction=0.05).factors(Cosine(), 100)
    expected = {
        0: 0.02,
        1: 0.04,
        4: 0.1,
        5: 0.1,
        52: 0.050826697238317925,
        99: 2.7337132953697554e-05,
    }
    for t, rate in expected.items():
        assert rates[t].item() == pytest.approx(rate, rel=1e-6)


def test_an_exponential_warmup_rises_by_the_same_factor_at_each_step() -> None:
    rates = Warmup(fraction=0.1, shape="exponential").factors(Constant(), 100)
    assert rates[0].item() == pytest.approx(10**-1.8) and rates[9].item() == 1.0
    assert (rates[1:10] / rates[:9]).tolist() == pytest.approx([10**0.2] * 9)
    assert (rates[10:] == 1).all()


@pytest.mark.parametrize("fraction", [0.0, 0.004, 0.3, 0.9])
@pytest.mark.parametrize("total", [1, 2, 100])
def test_factors_are_finite_and_never_exceed_one(fraction: float, total: int) -> None:
    for schedule in EVERY:
        factors = Warmup(fraction=fraction).factors(schedule, total)
        assert factors.shape == (total,)
        assert ((factors >= 0) & (factors <= 1)).all()
        assert factors[0] > 0


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("linear", {32: 0.0125, 256: 0.1, 1024: 0.4, 8192: 3.2}),
        ("sqrt", {32: 0.03535533905932738, 256: 0.1, 1024: 0.2, 8192: 0.5656854249492381}),
        ("none", {32: 0.1, 8192: 0.1}),
    ],
)
def test_the_learning_rate_follows_the_batch_size(rule: str, expected: dict[int, float]) -> None:
    for size, rate in expected.items():
        coupled = BatchLr.model_validate({"batch_size": size, "base_lr": 0.1, "rule": rule})
        assert coupled.learning_rate == pytest.approx(rate, rel=1e-6)
