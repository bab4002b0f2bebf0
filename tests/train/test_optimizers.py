from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from hpo.train.optimizers import (
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    Lion,
    OptimizerPart,
    Rmsprop,
    Sgd,
    Sgdw,
)

# f = (x1**2 + 10 * x2**2) / 2 from (1, 1): the point after each of five steps.
QUADRATIC = [
    (Sgd(momentum=0.0), 0.05, [0.7737809375, 0.03125]),
    (Sgd(momentum=0.9), 0.05, [0.41715593749999996, -0.5217999999999998]),
    (Sgd(momentum=0.9, nesterov=True), 0.05, [0.31594230606562493, -0.011137187500000012]),
    (Sgdw(momentum=0.9), 0.05, [0.41715593749999996, -0.5217999999999998]),
    (Adagrad(), 0.1, [0.6977148620648239, 0.6977148620459772]),
    (Rmsprop(), 0.01, [0.696465799281033, 0.6964657803039471]),
    (Rmsprop(alpha=0.9), 0.01, [0.8955067122048836, 0.8955067100547741]),
    (Adadelta(), 1.0, [0.9836313873486155, 0.9836313036667949]),
    (Adam(), 0.1, [0.507963661927221, 0.5079636571340391]),
    (AdamW(), 0.1, [0.507963661927221, 0.5079636571340391]),
]


def descend(
    part: OptimizerPart,
    lr: float,
    start: torch.Tensor,
    gradient: Callable[[torch.Tensor], torch.Tensor],
    steps: int,
) -> torch.Tensor:
    params, state = start, part.init_state(start)
    for t in range(steps):
        direction, state = part.direction(
            gradient(params), state, torch.tensor(float(t), dtype=start.dtype)
        )
        params = params - lr * direction
    return params


@pytest.mark.parametrize(("part", "lr", "expected"), QUADRATIC)
def test_known_values_on_a_quadratic(part: OptimizerPart, lr: float, expected: list[float]) -> None:
    curvature = torch.tensor([1.0, 10.0], dtype=torch.float64)
    start = torch.ones(2, dtype=torch.float64)
    found = descend(part, lr, start, lambda x: curvature * x, 5)
    assert found.tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("part", "stock", "arguments"),
    [
        (Sgd(momentum=0.0), torch.optim.SGD, {}),
        (Sgd(momentum=0.9), torch.optim.SGD, {"momentum": 0.9}),
        (
            Sgd(momentum=0.95, nesterov=True),
            torch.optim.SGD,
            {"momentum": 0.95, "nesterov": True},
        ),
        (
            AdamW(beta1=0.8, beta2=0.99, eps=1e-6),
            torch.optim.AdamW,
            {"betas": (0.8, 0.99), "eps": 1e-6, "weight_decay": 0.0},
        ),
        (AdamW(), torch.optim.AdamW, {"weight_decay": 0.0}),
        (Adam(beta1=0.7), torch.optim.Adam, {"betas": (0.7, 0.999)}),
        (Adagrad(), torch.optim.Adagrad, {}),
        (Adagrad(eps=1e-3), torch.optim.Adagrad, {"eps": 1e-3}),
        (Rmsprop(), torch.optim.RMSprop, {}),
        (
            Rmsprop(alpha=0.9, eps=1e-6, momentum=0.8),
            torch.optim.RMSprop,
            # At 0.01 it does not converge, and rounding grows from step to step.
            {"alpha": 0.9, "eps": 1e-6, "momentum": 0.8, "lr": 0.001},
        ),
        (Adadelta(), torch.optim.Adadelta, {}),
        (Adadelta(rho=0.95, eps=1e-4), torch.optim.Adadelta, {"rho": 0.95, "eps": 1e-4}),
    ],
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-6)])
def test_hundred_steps_equal_torch(
    part: OptimizerPart,
    stock: type[torch.optim.Optimizer],
    arguments: dict[str, Any],
    dtype: torch.dtype,
    tolerance: float,
) -> None:
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(20, 20, generator=generator, dtype=torch.float64)
    curvature = (matrix @ matrix.T / 20).to(dtype)
    start = torch.randn(20, generator=generator, dtype=torch.float64).to(dtype)

    params = start.clone().requires_grad_()
    lr = arguments.get("lr", 0.01)
    optimizer = stock([params], **{**arguments, "lr": lr})
    for _ in range(100):
        params.grad = curvature @ params.detach()
        optimizer.step()
    found = descend(part, lr, start, lambda x: curvature @ x, 100)
    assert (found - params.detach()).abs().max() <= tolerance


def test_momentum_zero_keeps_no_velocity() -> None:
    assert Sgd(momentum=0.0).init_state(torch.zeros(3)) == {}
    assert Rmsprop().init_state(torch.zeros(3)).keys() == {"square"}


def test_lion_moves_every_weight_by_the_learning_rate() -> None:
    part, start = Lion(beta1=0.5, beta2=0.75), torch.zeros(3, dtype=torch.float64)
    first = torch.tensor([2.0, -0.001, 0.0], dtype=torch.float64)
    direction, state = part.direction(first, part.init_state(start), torch.tensor(0.0))
    assert direction.tolist() == [1, -1, 0]
    assert state["mean"].tolist() == [0.5, -0.00025, 0]
    # sign(0.5 * 0.5 - 0.5 * 0.4) is that of the momentum, against the gradient.
    direction, state = part.direction(torch.full_like(first, -0.4), state, torch.tensor(1.0))
    assert direction.tolist() == [1, -1, -1]
    assert state["mean"][0].item() == pytest.approx(0.75 * 0.5 - 0.25 * 0.4)


def test_optimizers_with_moments_follow_the_batch_size() -> None:
    assert Rmsprop(alpha=0.99, eps=1e-6).scaled(4.0) == pytest.approx({"alpha": 0.96, "eps": 5e-7})
    assert Adam().scaled(4.0) == AdamW().scaled(4.0)
    assert Adagrad().scaled(4.0) == Lion().scaled(4.0) == Sgdw().scaled(4.0) == {}


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.999])
def test_the_first_adam_step_is_the_sign_of_the_gradient(beta: float) -> None:
    part = AdamW(beta1=beta, beta2=beta)
    grads = torch.tensor([3.0, -0.002, 5e4])
    direction, _ = part.direction(grads, part.init_state(grads), torch.tensor(0.0))
    assert direction.tolist() == pytest.approx([1, -1, 1], rel=1e-4)
