"""The PR product in all models: the forward pass as ever, other gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from train_helpers import config

from hpo.errors import InputError
from hpo.train.builtin import trainer
from hpo.train.drivers.single import value_and_grad
from hpo.train.drivers.stack import grad_and_value
from hpo.train.lanes import bind, tensors
from hpo.train.layout import Layout
from hpo.train.noise import step_keys
from hpo.train.regularizers import PrProduct
from hpo.train.step import Batch, Knobs, Step
from hpo.train.task import Window

LIKE = torch.empty(0, dtype=torch.float64)
SEQUENCE = {"kind": "transformer", "width": 4, "heads": 2, "hidden": 6, "layers": 1}
WEIGHT_NORM = {"kind": "mlp", "widths": [6], "normalization": {"kind": "weight"}}
NET = """
from torch import nn


def net(inputs, outputs):
    return nn.Sequential(nn.Conv1d(2, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(16, outputs))
"""
MODELS: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "mlp": ({"kind": "mlp", "widths": [6, 5]}, (5,)),
    "weight_norm": (WEIGHT_NORM, (5,)),
    "cnn": ({"kind": "cnn", "channels": [4, 4]}, (2, 8, 8)),
    "resnet": ({"kind": "resnet", "channels": [4, 6], "blocks": 1}, (2, 8, 8)),
    "gru": ({"kind": "gru", "width": 4}, (2, 6)),
    "lstm": ({"kind": "lstm", "width": 4, "layers": 2}, (2, 6)),
    "characters": ({"kind": "gru", "width": 4}, Window(6, 9)),
    "transformer": (SEQUENCE, Window(6, 9)),
    "custom": ({"kind": "custom", "build": "nets:net"}, (2, 6)),
}
"""Models, and the shape of their examples."""


def one_step(
    model: Any, inputs: tuple[int, ...], part: Any, differentiate: Any = value_and_grad
) -> tuple[Layout, dict[str, torch.Tensor], torch.Tensor]:
    """The loss [] and the gradient by name, at the same parameters and examples."""
    case = config(
        regularization={"pr_product": part},
        loss={"kind": "cross_entropy"},
        optimizer={"kind": "sgd", "momentum": 0.0},
    ).model_copy(update={"model": model})
    text = isinstance(inputs, Window)
    outputs = inputs.characters if text else 3
    layout = model.layout(inputs, outputs)
    generator = torch.Generator().manual_seed(0)
    params = torch.randn(layout.size, generator=generator, dtype=torch.float64) / 2
    x = torch.randn(7, *inputs, generator=generator, dtype=torch.float64)
    y = torch.randint(outputs, (7,), generator=generator)
    if text:
        x, y = torch.randint(outputs, (2, 7, inputs.length), generator=generator)
    step = Step(case, layout, LIKE, differentiate)
    knobs = Knobs.of(bind(case, tensors(case, LIKE)))
    key = step_keys(0, torch.tensor([0]))[0]
    batch = Batch(x, y, LIKE.new_tensor(0.0), LIKE.new_tensor(1.0), key)
    after, _, metrics = step(params, step.init_state(params, knobs), batch, knobs)
    return layout, layout.split(params - after), metrics["loss"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "nets.py").write_text(NET)
    return tmp_path


@pytest.mark.parametrize("kind", MODELS)
def test_it_reaches_all_products_of_all_models(kind: str, folder: Path) -> None:
    settings, inputs = MODELS[kind]
    outputs = inputs.characters if isinstance(inputs, Window) else 3
    model = config(model=settings).model.bound(folder, inputs, outputs, ())
    layout, plain, loss = one_step(model, inputs, None)
    _, found, same = one_step(model, inputs, {})
    assert same.item() == pytest.approx(loss.item(), rel=1e-12), "the forward pass is as ever"
    for name, gradient in found.items():
        if name.endswith((".weight", ".direction")) and layout.is_weight(name):
            assert not torch.allclose(gradient, plain[name], rtol=1e-2), name
    last = f"{layout.last_layer}.bias"
    assert torch.allclose(found[last], plain[last], rtol=1e-9)
    _, mapped, _ = one_step(model, inputs, {}, grad_and_value)
    for name, gradient in mapped.items():
        assert torch.allclose(gradient, found[name], rtol=1e-9, atol=1e-12), name


def test_each_step_of_a_recurrent_model_is_a_product(folder: Path) -> None:
    settings, inputs = MODELS["lstm"]
    model = config(model=settings).model
    _, plain, _ = one_step(model, inputs, None)
    _, found, _ = one_step(model, inputs, {"layers": ["rnn.weight_hh_l1"]})
    assert not torch.allclose(found["rnn.weight_hh_l1"], plain["rnn.weight_hh_l1"], rtol=1e-2)
    assert torch.allclose(found["head.weight"], plain["head.weight"], rtol=1e-9)


def test_layers_are_chosen_by_name() -> None:
    model = config(model={"kind": "mlp", "widths": [6, 5]}).model
    _, plain, _ = one_step(model, (5,), None)
    _, found, _ = one_step(model, (5,), {"layers": ["layers.0"]})
    for name, gradient in found.items():
        same = torch.allclose(gradient, plain[name], rtol=1e-9)
        assert same == (name != "layers.0.weight"), name
    _, hidden, _ = one_step(model, (5,), {"layers": "hidden"})
    assert torch.allclose(hidden["layers.2.weight"], plain["layers.2.weight"], rtol=1e-9)
    assert not torch.allclose(hidden["layers.1.weight"], plain["layers.1.weight"], rtol=1e-2)


def test_computed_weights_can_only_be_meant_all_together(tmp_path: Path) -> None:
    case = config(model=WEIGHT_NORM, regularization={"pr_product": {"layers": "hidden"}})
    with pytest.raises(InputError, match=r"pr_product\.layers: the model has no weights hidden"):
        trainer.check(case, tmp_path)
    assert PrProduct().names(Layout({"layers.0.direction": (2, 3)})) is None
