from __future__ import annotations

from typing import Any

import pytest
import torch
from train_helpers import EVERYTHING, config

from hpo.train.config import TrainConfig
from hpo.train.drivers.single import value_and_grad
from hpo.train.lanes import bind, knobs
from hpo.train.layout import Layout
from hpo.train.noise import step_keys
from hpo.train.step import Batch, Knobs, Step
from hpo.train.task import Window

K, STEPS, B = 3, 20, 12
INPUTS = {"mlp": (6,), "cnn": (1, 8, 8), "resnet": (1, 8, 8)}
TEXT = Window(length=5, characters=7)


def grad_and_value(objective: Any, params: torch.Tensor) -> tuple[Any, Any, Any]:
    grads, (value, state) = torch.func.grad_and_value(objective, has_aux=True)(params)
    return value, grads, state


# Values that follow from per-lane values, and so differ between lanes themselves.
COUPLED: dict[str, Any] = {
    "batch_lr": {"batch_size": 32, "base_batch_size": 16, "rule": "sqrt", "scale_betas": True},
    "regularization": EVERYTHING["regularization"]
    | {"weight_decay": {"strength": 0.05, "decay_rule": "product"}},
}


def lane_configs(
    model: dict[str, Any], optimizer: dict[str, Any], changes: dict[str, Any]
) -> list[TrainConfig]:
    """Everything switched on, and every per-lane value different in every lane."""
    everything = {
        **EVERYTHING,
        "model": model,
        "optimizer": optimizer,
        "precision": "float64",
        "schedule": {"kind": "cosine", "floor": 0.1},
    }
    base = config(**everything | changes)
    return [
        bind(base, {path: value * (1 - 0.1 * k) for path, value in knobs(base).items()})
        for k in range(K)
    ]


OPTIMIZERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"kind": "sgd", "nesterov": True}, {}),
    ({"kind": "adamw"}, {}),
    ({"kind": "adamw"}, COUPLED),
    ({"kind": "adagrad"}, {}),
    ({"kind": "rmsprop", "momentum": 0.5}, {}),
    ({"kind": "adadelta"}, {"batch_lr": {"base_lr": 50.0}}),
    ({"kind": "lion"}, {"batch_lr": {"base_lr": 0.02}}),
]
NUMBERS: dict[str, Any] = {"loss": {"kind": "mse"}}
CHARACTERS: dict[str, Any] = {"dropout": {"hidden": 0.2}, "augmentation": {}}
MODELS: list[tuple[dict[str, Any], tuple[int, ...], dict[str, Any]]] = [
    ({"kind": "lstm", "width": 6, "layers": 2}, TEXT, CHARACTERS),
    ({"kind": "lstm", "width": 6}, (2, 5), {}),
    ({"kind": "gru", "width": 6, "layers": 2}, TEXT, CHARACTERS),
    ({"kind": "gru", "width": 6}, (5,), {}),
    ({"kind": "transformer", "width": 6, "heads": 2, "hidden": 8}, TEXT, CHARACTERS),
    ({"kind": "transformer", "width": 6, "heads": 2, "hidden": 8}, (2, 5), {}),
    ({"kind": "diagonal", "depth": 3}, (6,), NUMBERS),
    (
        {"kind": "multitask", "widths": [7], "head_widths": [3]},
        (6,),
        {"loss": {"kind": "mse", "auxiliary": 0.3}},
    ),
    ({"kind": "autoencoder", "widths": [7], "code": 3}, (6,), NUMBERS),
    ({"kind": "autoencoder", "widths": [7], "code": 3, "tied": True}, (6,), NUMBERS),
]


def data(inputs: tuple[int, ...], loss: str, generator: torch.Generator) -> tuple[Any, Any, int]:
    """Inputs and targets of all steps of all lanes, and how many outputs these need."""
    if isinstance(inputs, Window):
        text = torch.randint(
            inputs.characters, (K, STEPS, B, inputs.length + 1), generator=generator
        )
        return text[..., :-1], text[..., 1:], inputs.characters
    xs = torch.randn(K, STEPS, B, *inputs, generator=generator, dtype=torch.float64)
    if loss == "mse":
        return xs, xs.flatten(3), xs[0, 0, 0].numel()
    return xs, torch.randint(3, (K, STEPS, B), generator=generator), 3


@pytest.mark.parametrize(
    ("model", "inputs", "optimizer", "changes"),
    [
        (model, inputs, optimizer, changes)
        for model, inputs in (
            ({"kind": "mlp", "widths": [9, 7]}, INPUTS["mlp"]),
            ({"kind": "cnn"}, INPUTS["cnn"]),
        )
        for optimizer, changes in OPTIMIZERS
    ]
    + [(model, inputs, {"kind": "sgd"}, changes) for model, inputs, changes in MODELS],
)
def test_lanes_under_vmap_equal_the_same_trials_alone(
    model: dict[str, Any],
    inputs: tuple[int, ...],
    optimizer: dict[str, Any],
    changes: dict[str, Any],
) -> None:
    assert_lanes_equal_trials_alone(lane_configs(model, optimizer, changes), inputs)


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        *(("mlp", kind) for kind in ("batch", "layer", "weight")),
        *(("cnn", kind) for kind in ("batch", "layer", "weight", "local_response")),
        *(("resnet", kind) for kind in ("none", "batch", "layer", "weight", "local_response")),
    ],
)
def test_normalised_lanes_under_vmap_equal_the_same_trials_alone(model: str, kind: str) -> None:
    normalised = {"kind": model, "normalization": {"kind": kind}}
    assert_lanes_equal_trials_alone(lane_configs(normalised, {"kind": "sgd"}, {}), INPUTS[model])


def assert_lanes_equal_trials_alone(configs: list[TrainConfig], inputs: tuple[int, ...]) -> None:
    first = configs[0]
    assert first.loss is not None
    generator = torch.Generator().manual_seed(0)
    like = torch.empty(0, dtype=torch.float64)
    xs, ys, outputs = data(inputs, first.loss.kind, generator)
    layout = Layout(first.model.shapes(inputs, outputs), first.model.exempt)
    start = torch.randn(K, layout.size, generator=generator, dtype=torch.float64) * 0.3
    rates = torch.stack(
        [c.warmup.factors(c.schedule, STEPS) * c.batch_lr.learning_rate for c in configs]
    )
    keys = torch.stack([step_keys(seed, torch.arange(STEPS)) for seed in range(K)])
    t = torch.arange(STEPS, dtype=torch.float64)
    values = [{k: like.new_tensor(v) for k, v in knobs(c).items()} for c in configs]
    assert len(values[0]) >= (12 if isinstance(inputs, Window) else 15)

    step = Step(first, layout, like, value_and_grad)
    alone, alone_losses, alone_states = [], [], []
    for k in range(K):
        lane = Knobs.of(bind(configs[k], values[k]))
        params, state = start[k], step.init_state(start[k], lane)
        for i in range(STEPS):
            batch = Batch(xs[k, i], ys[k, i], t[i], rates[k, i], keys[k, i])
            params, state, metrics = step(params, state, batch, lane)
        alone.append(params)
        alone_states.append(state["model"])
        alone_losses.append(metrics["loss"])

    mapped = Step(first, layout, like, grad_and_value)

    def one_lane(params: Any, state: Any, batch: Any, lane_values: Any) -> Any:
        return mapped(params, state, batch, Knobs.of(bind(first, lane_values)))

    stacked = {path: torch.stack([v[path] for v in values]) for path in values[0]}
    params = start
    state = torch.func.vmap(lambda p, v: mapped.init_state(p, Knobs.of(bind(first, v))))(
        start, stacked
    )
    for i in range(STEPS):
        batch = Batch(xs[:, i], ys[:, i], t[i].expand(K), rates[:, i], keys[:, i])
        params, state, metrics = torch.func.vmap(one_lane)(params, state, batch, stacked)

    assert (params - torch.stack(alone)).abs().max() <= 1e-10
    assert (metrics["loss"] - torch.stack(alone_losses)).abs().max() <= 1e-10
    for name, of_lanes in state["model"].items():
        of_trials = torch.stack([own[name] for own in alone_states])
        assert (of_lanes - of_trials).abs().max() <= 1e-10, name
        assert (of_lanes[0] - of_lanes[1]).abs().max() > 0.01, "the lanes have one state"
    assert bool(state["model"]) == first.model.mixes_rows()
    assert (params - start).abs().max() > 0.01, "nothing was trained"
    assert (params[0] - params[1]).abs().max() > 0.01, "the lanes do not differ"


def test_a_step_writes_into_nothing_it_is_given() -> None:
    model = {"kind": "mlp", "widths": [5], "normalization": {"kind": "batch"}}
    case = lane_configs(model, {"kind": "adamw"}, COUPLED)[0]
    like = torch.empty(0, dtype=torch.float64)
    layout = Layout(case.model.shapes((6,), 3))
    step = Step(case, layout, like, value_and_grad)
    lane = Knobs.of(bind(case, {k: like.new_tensor(v) for k, v in knobs(case).items()}))
    params = torch.randn(layout.size, dtype=torch.float64)
    batch = Batch(
        torch.randn(B, 6, dtype=torch.float64),
        torch.randint(3, (B,)),
        like.new_tensor(0.0),
        like.new_tensor(0.1),
        step_keys(0, torch.arange(1))[0],
    )
    state = step.init_state(params, lane)
    given = [params, *batch, *state["optimizer"].values(), *state["model"].values()]
    before = [x.clone() for x in given]
    step(params, state, batch, lane)
    assert all(torch.equal(a, b) for a, b in zip(before, given, strict=True))
