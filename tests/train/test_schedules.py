from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from hpo.train.batch_lr import BatchLr
from hpo.train.schedules import Constant, Cosine, Piecewise, Warmup

NO_WARMUP = Warmup(fraction=0.0)


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


@pytest.mark.parametrize("fraction", [0.0, 0.004, 0.3, 0.9])
@pytest.mark.parametrize("total", [1, 2, 100])
def test_factors_are_finite_and_never_exceed_one(fraction: float, total: int) -> None:
    for schedule in (Constant(), Cosine(), Cosine(floor=1.0), Piecewise()):
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
