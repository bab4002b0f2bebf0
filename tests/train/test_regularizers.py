from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from train_helpers import EVERYTHING, config

from hpo.train.config import TrainConfig
from hpo.train.drivers.single import value_and_grad
from hpo.train.lanes import bind, knobs
from hpo.train.layout import Layout
from hpo.train.noise import NoiseSource, step_keys
from hpo.train.parts import families
from hpo.train.regularizers import Regularizer
from hpo.train.regularizers.base import Context
from hpo.train.regularizers.clipping import clip_by_norm, clip_by_value
from hpo.train.regularizers.dropout import dropout
from hpo.train.regularizers.l1 import soft_threshold
from hpo.train.regularizers.max_norm import max_norm_project
from hpo.train.settings import per_lane
from hpo.train.step import Batch, Knobs, Step
from hpo.train.task import Target, Window

LIKE = torch.empty(0, dtype=torch.float64)
B, OUTPUTS = 16, 3
TEXT = Window(length=6, characters=7)
INPUTS = {"mlp": (5,), "cnn": (2, 8, 8), "resnet": (2, 8, 8), "gru": TEXT}
TARGETS = (Target("size"), Target("kind", ("a", "b")))


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


# ---- known values and torch's own ----

W = tensor(3.0, -1.0, 0.2, 0.0, -4.0)


def test_soft_threshold() -> None:
    assert soft_threshold(W, tensor(0.5)).tolist() == [2.5, -0.5, 0.0, 0.0, -3.5]


def test_l1_solves_the_diagonal_lasso() -> None:
    curvature, w = tensor(1.0, 10.0), tensor(0.0, 0.0)
    for _ in range(2000):
        w = soft_threshold(w - 0.05 * curvature * (w - 1), tensor(0.05 * 0.5))
    assert w.tolist() == pytest.approx([0.5, 0.95], rel=1e-6)


def test_max_norm_equals_torch_renorm() -> None:
    weight = torch.tensor([[3.0, 4.0], [0.3, 0.4], [6.0, 8.0]], dtype=torch.float64)
    expected = [[1.1999999760000004, 1.5999999680000005], [0.3, 0.4], [1.199999988, 1.599999984]]
    found = max_norm_project(weight, 2.0)
    # torch.renorm adds 1e-7 to the norm, so that it lands a little inside the ball.
    assert torch.allclose(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-6)
    kernel = torch.randn(6, 4, 3, 3, dtype=torch.float64)
    assert torch.allclose(max_norm_project(kernel, 1.5), torch.renorm(kernel, 2, 0, 1.5), rtol=1e-6)
    assert (max_norm_project(kernel, 1.5).flatten(1).norm(dim=1) <= 1.5 * (1 + 1e-12)).all()


def test_max_norm_leaves_rows_of_zeros_alone() -> None:
    assert max_norm_project(torch.zeros(2, 3), 1.0).tolist() == [[0.0] * 3] * 2


def test_clipping_equals_torch() -> None:
    grads = tensor(3.0, 4.0, 12.0)
    assert clip_by_norm(grads, 5.0).tolist() == pytest.approx(
        [1.1538460650887643, 1.5384614201183524, 4.615384260355057], rel=1e-9
    )
    assert clip_by_norm(grads, 14.0).tolist() == [3.0, 4.0, 12.0]
    assert clip_by_value(grads, 5.0).tolist() == [3.0, 4.0, 5.0]


def test_dropout_keeps_the_mean_and_scales_what_is_left() -> None:
    h = torch.ones(200, 100, dtype=torch.float64)
    noise = NoiseSource(torch.device("cpu")).at(step_keys(0, torch.tensor([0]))[0])
    dropped = dropout(h, 0.3, noise, "here")
    assert set(dropped.unique().tolist()) == {0.0, 1 / 0.7}
    assert dropped.mean().item() == pytest.approx(1, abs=4 * math.sqrt(0.3 / 0.7 / h.numel()))
    assert not torch.equal(dropped, dropout(h, 0.3, noise, "there"))


# ---- inside the step ----


def train(
    case: TrainConfig, bound: dict[str, float] | None = None, steps: int = 6
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Parameters kept after epochs of one step, as a vector and by name; `bound` replaces knobs."""
    loss = (case.loss or config(**EVERYTHING).loss).bound(TARGETS)
    case = case.model_copy(update={"loss": loss})
    inputs = INPUTS[case.model.kind]
    layout = case.model.layout(inputs, OUTPUTS)
    generator = torch.Generator().manual_seed(0)
    params = torch.randn(layout.size, generator=generator, dtype=torch.float64)
    step = Step(case, layout, LIKE, value_and_grad)
    values = knobs(case) | (bound or {})
    parts = Knobs.of(bind(case, {k: LIKE.new_tensor(v) for k, v in values.items()}))
    state = step.init_state(params, parts)
    for t in range(steps):
        x = torch.randn(B, *inputs, generator=generator, dtype=torch.float64)
        y = torch.randint(OUTPUTS, (B,), generator=generator)
        if loss.kind == "mse":
            y = torch.randn(B, OUTPUTS, generator=generator, dtype=torch.float64)
        if isinstance(inputs, Window):
            x = torch.randint(inputs.characters, (B, inputs.length), generator=generator)
            y = torch.randint(OUTPUTS, (B, inputs.length), generator=generator)
        if loss.kind == "multitask":
            number = torch.randn(B, 1, generator=generator, dtype=torch.float64)
            y = torch.cat([number, torch.eye(OUTPUTS - 1, dtype=torch.float64)[y % 2]], dim=1)
        rate = LIKE.new_tensor(0.1)
        key = step_keys(3, torch.tensor([t]))[0]
        batch = Batch(x, y, LIKE.new_tensor(float(t)), rate, key)
        params, state = step.before_epoch(params, state, parts, seed=0, epoch=t, epochs=steps)
        params, state, _ = step(params, state, batch, parts)
    shown = step.eval_params(params, state, parts)
    return shown, layout.split(shown)


PLAIN = {"loss": {"kind": "cross_entropy"}, "optimizer": {"kind": "sgd", "momentum": 0.0}}
CNN = {"model": {"kind": "cnn", "channels": [4]}}


RESNET = {"model": {"kind": "resnet", "channels": [4], "blocks": 2}}
GRU = {"model": {"kind": "gru", "width": 4, "layers": 2}}


def recurrent(field: str) -> tuple[str, dict[str, Any]]:
    part = "variational_dropout"
    return f"regularization.{part}.{field}", {"regularization": {part: {field: 0.3}}, **GRU}


# Cycles that fit into the epochs of the config.
SHORT = {"full_epochs": 1, "sub_epochs": 1, "cycles": 1}


def augmented(part: str, field: str, value: float, **more: Any) -> tuple[str, dict[str, Any]]:
    return f"augmentation.{part}.{field}", {"augmentation": {part: {field: value}}, **more}


RANDOM = {"kind": "random", "size": 3}
NEUTRAL = {
    "l1": ("regularization.l1.strength", {"regularization": {"l1": {"strength": 0.1}}}),
    "l2": ("regularization.l2.strength", {"regularization": {"l2": {"strength": 0.1}}}),
    "weight_decay": (
        "regularization.weight_decay.strength",
        {"regularization": {"weight_decay": {"strength": 0.1}}},
    ),
    "max_norm": ("regularization.max_norm.radius", {"regularization": {"max_norm": {"radius": 1}}}),
    "mma": ("regularization.mma.strength", {"regularization": {"mma": {"strength": 0.5}}}),
    "weight noise": (
        "regularization.weight_noise.sd",
        {"regularization": {"weight_noise": {"sd": 0.3}}},
    ),
    "gradient noise": (
        "regularization.gradient_noise.sd",
        {"regularization": {"gradient_noise": {"sd": 0.3}}},
    ),
    "drop connect": (
        "regularization.drop_connect.rate",
        {"regularization": {"drop_connect": {"rate": 0.3}}},
    ),
    "stochastic depth": (
        "regularization.stochastic_depth.rate",
        {"regularization": {"stochastic_depth": {"rate": 0.5}}, **RESNET},
    ),
    "input of a recurrent net": recurrent("input"),
    "its state": recurrent("state"),
    "its output": recurrent("output"),
    "its characters": recurrent("embedding"),
    "mhe": ("regularization.mhe.strength", {"regularization": {"mhe": {"strength": 0.5}}}),
    "comhe": (
        "regularization.comhe.strength",
        {"regularization": {"comhe": {"strength": 0.5, "projection": RANDOM}}},
    ),
    "orthogonality": (
        "regularization.orthogonality.strength",
        {"regularization": {"orthogonality": {"strength": 0.05}}},
    ),
    "orthoreg": (
        "regularization.orthoreg.strength",
        {"regularization": {"orthoreg": {"strength": 0.5}}},
    ),
    "sam": ("protocol.sam.radius", {"protocol": {"sam": {"radius": 0.3}}}),
    "dsd": ("protocol.dsd.sparsity", {"protocol": {"dsd": {"sparsity": 0.5}}}),
    "repr": ("protocol.repr.fraction", {"protocol": {"repr": {"fraction": 0.5, **SHORT}}}),
    "ema": (
        "protocol.averaging.decay",
        {"protocol": {"averaging": {"kind": "ema", "decay": 0.9}}},
    ),
    "input dropout": ("dropout.input", {"dropout": {"input": 0.3}}),
    "hidden dropout": ("dropout.hidden", {"dropout": {"hidden": 0.3}}),
    "label smoothing": (
        "loss.label_smoothing",
        {"loss": {"kind": "cross_entropy", "label_smoothing": 0.2}},
    ),
    "label smoothing of some targets": (
        "loss.label_smoothing",
        {"loss": {"kind": "multitask", "label_smoothing": 0.2}},
    ),
    "auxiliary targets": ("loss.auxiliary", {"loss": {"kind": "mse", "auxiliary": 0.2}}),
    "norm clipping": ("clipping.norm", {"clipping": {"norm": 0.1}}),
    "value clipping": ("clipping.value", {"clipping": {"value": 0.01}}),
    "momentum": ("optimizer.momentum", {"optimizer": {"kind": "sgd", "momentum": 0.9}}),
    "sgdw's momentum": ("optimizer.momentum", {"optimizer": {"kind": "sgdw", "momentum": 0.9}}),
    "rmsprop's momentum": (
        "optimizer.momentum",
        {"optimizer": {"kind": "rmsprop", "momentum": 0.9}},
    ),
    "shift": augmented("shift", "share", 0.3, **CNN),
    "flip": augmented("flip", "probability", 0.5, **CNN),
    "brightness": augmented("color_jitter", "brightness", 1.0, **CNN),
    "contrast": augmented("color_jitter", "contrast", 0.5, **CNN),
    "cutout": augmented("cutout", "side", 0.5, **CNN),
    "time shift": augmented("time_shift", "share", 0.3),
    "scaling": augmented("scaling", "sd", 0.3),
    "noise": augmented("noise", "sd", 0.3),
    "mixup": augmented("mixup", "alpha", 1.0),
    "cutmix": augmented("cutmix", "probability", 1.0, **CNN),
}
RECURRENT = ("input of a recurrent net", "its state", "its output", "its characters")
IMAGES = ("shift", "flip", "brightness", "contrast", "cutout", "cutmix")
WITHOUT: dict[str, dict[str, Any]] = {
    "rmsprop's momentum": {"optimizer": {"kind": "rmsprop"}},
    "auxiliary targets": {"loss": {"kind": "mse"}},
    "label smoothing of some targets": {"loss": {"kind": "multitask"}},
    **dict.fromkeys(IMAGES, CNN),
    **dict.fromkeys(RECURRENT, GRU),
    "stochastic depth": RESNET,
}
"""What is there where a part is absent, if it is more than the plain config."""


@pytest.mark.parametrize("name", NEUTRAL)
def test_a_neutral_setting_equals_absence(name: str) -> None:
    path, changes = NEUTRAL[name]
    absent = config(**(PLAIN | WITHOUT.get(name, {})))
    present = config(**(PLAIN | changes))
    neutral = 1e300 if name.endswith("clipping") or name == "max_norm" else 0.0
    neutral = 1.0 if name == "auxiliary targets" else neutral
    without, _ = train(absent)
    # Bound as a tensor the formula runs, whatever the value; nothing is skipped.
    assert torch.allclose(train(present, {path: neutral})[0], without, rtol=1e-12, atol=1e-14)
    assert not torch.allclose(train(present)[0], without, rtol=1e-3), "the part does nothing"


def test_every_neutral_setting_of_every_family_is_covered() -> None:
    declared = {
        (part.__name__, field)
        for members in families().values()
        for part in members
        for field, mark in per_lane(part).items()
        if mark.neutral is not None
    }
    assert len(declared) == len(NEUTRAL), declared


@pytest.mark.parametrize("radius", [math.inf, 1e300])
def test_an_infinite_bound_is_a_number_like_others(radius: float) -> None:
    present = config(**(PLAIN | {"regularization": {"max_norm": {"radius": 1}}}))
    found, _ = train(present, {"regularization.max_norm.radius": radius})
    assert torch.equal(found, train(config(**PLAIN))[0])


@pytest.mark.parametrize(
    "part",
    ["l1", "l2", "weight_decay", "max_norm", "mma", "orthoreg", "orthogonality", "mhe", "comhe"],
)
def test_biases_are_exempt(part: str) -> None:
    setting = {"radius": 0.01} if part == "max_norm" else {"strength": 1.0}
    changes = {"regularization": {part: setting}}
    # One step: what a penalty does to the weights moves the biases in the next.
    _, without = train(config(**PLAIN), steps=1)
    _, found = train(config(**(PLAIN | changes)), steps=1)
    for name in without:
        same = torch.allclose(found[name], without[name], rtol=1e-12)
        assert same == name.endswith("bias"), name


def test_l1_makes_true_zeros() -> None:
    _, found = train(config(**(PLAIN | {"regularization": {"l1": {"strength": 0.5}}})), steps=20)
    assert (found["layers.0.weight"] == 0).sum() > 10


def test_decoupled_decay_equals_torch_adamw() -> None:
    changes = {
        "optimizer": {"kind": "adamw"},
        "loss": {"kind": "cross_entropy"},
        "model": {"kind": "mlp", "widths": []},
    }
    _, found = train(config(**changes, regularization={"weight_decay": {"strength": 0.3}}), steps=9)

    generator = torch.Generator().manual_seed(0)
    inputs = INPUTS["mlp"]
    layout = Layout(config(**changes).model.shapes(inputs, OUTPUTS))
    start = layout.split(torch.randn(layout.size, generator=generator, dtype=torch.float64))
    net = torch.nn.Linear(*inputs, OUTPUTS, dtype=torch.float64)
    net.weight.data, net.bias.data = start["layers.0.weight"], start["layers.0.bias"]
    groups = [
        {"params": [net.weight], "weight_decay": 0.3},
        {"params": [net.bias], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.1)
    for _ in range(9):
        x = torch.randn(B, *inputs, generator=generator, dtype=torch.float64)
        y = torch.randint(OUTPUTS, (B,), generator=generator)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    assert (found["layers.0.weight"] - net.weight).abs().max() < 1e-10
    assert (found["layers.0.bias"] - net.bias).abs().max() < 1e-10


def test_l2_in_the_gradient_equals_torch_sgd_with_weight_decay() -> None:
    rng = np.random.RandomState(0)
    start, gradient = tensor(*rng.randn(6)), tensor(*rng.randn(6))
    parameter = start.clone().requires_grad_()
    optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=0.9, weight_decay=0.2)
    context = context_of(Layout({"w": (2, 3)}))
    part = config(regularization={"l2": {"strength": 0.2}}).regularization.l2
    sgd = config().optimizer
    assert part is not None
    found, state = start, sgd.init_state(start)
    for _ in range(10):
        parameter.grad = gradient.clone()
        optimizer.step()
        direction, state = sgd.direction(
            part.on_grads(gradient, found, context), state, LIKE.new_tensor(0.0)
        )
        found = found - 0.1 * direction
    assert torch.allclose(found, parameter.detach(), rtol=1e-12)


def context_of(layout: Layout) -> Context:
    return Context(
        t=LIKE.new_tensor(0.0),
        lr=LIKE.new_tensor(0.1),
        noise=NoiseSource(LIKE.device).at(step_keys(0, torch.tensor([0]))[0]),
        layout=layout,
        weights=layout.weight_mask(LIKE),
    )


def hooks() -> list[str]:
    """All hooks, in the order in which the base class documents them."""
    other = {"active", "overrides", "check", "acts_before", "rate_factor"}
    return [
        name
        for name, value in vars(Regularizer).items()
        if callable(value) and not name.startswith(("_", "model_")) and name not in other
    ]


def test_every_present_part_overrides_a_hook() -> None:
    for name, part in config(**EVERYTHING).regularizers().items():
        assert any(part.overrides(hook) for hook in hooks()), name
