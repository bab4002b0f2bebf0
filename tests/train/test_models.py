from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from train_helpers import config, outputs_of

from hpo.errors import InputError
from hpo.train.layout import Layout
from hpo.train.models import Autoencoder, Cnn, Gru, Lstm, Mlp, ModelPart, ResNet, Transformer
from hpo.train.task import Window


def test_mlp_equals_stock_torch() -> None:
    net = nn.Sequential(nn.Linear(12, 7), nn.Tanh(), nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 3))
    model = Mlp(widths=(7, 5), activation="tanh")
    shapes = model.shapes((3, 2, 2), 3)
    assert shapes["layers.0.weight"] == (7, 12)
    params = dict(zip(shapes, net.parameters(), strict=True))
    x = torch.randn(4, 3, 2, 2)
    assert torch.equal(outputs_of(model, params, x), net(x.flatten(1)))


def test_cnn_equals_stock_torch() -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(6 * 2 * 2, 10),
    )
    model = Cnn(channels=(4, 6))
    shapes = model.shapes((1, 8, 8), 10)
    params = dict(zip(shapes, net.parameters(), strict=True))
    assert [tuple(p.shape) for p in params.values()] == list(shapes.values())
    x = torch.randn(5, 1, 8, 8)
    assert torch.equal(outputs_of(model, params, x), net(x))


@pytest.mark.parametrize(
    ("model", "inputs", "sites"),
    [
        (Gru(width=4, layers=2), Window(5, 3), ["embedding", "rnn.l0", "rnn.l1"]),
        (Lstm(width=4, layers=2), (2, 5), ["rnn.l0", "rnn.l1"]),
        (
            Transformer(width=4, heads=2, hidden=6, layers=1),
            Window(5, 3),
            ["embedding", "layers.0.self_attn", "layers.0.linear1", "layers.0.linear2"],
        ),
        (Autoencoder(widths=(4,), code=2), (3,), ["encoder.0", "encoder.1", "decoder.0"]),
    ],
)
def test_sites_have_the_names_of_layers(
    model: ModelPart, inputs: tuple[int, ...], sites: list[str]
) -> None:
    seen: dict[str, torch.Tensor] = {}

    def halve(h: torch.Tensor, site: str) -> torch.Tensor:
        seen[site] = h
        return h / 2

    layout = Layout(model.shapes(inputs, 3))
    params = layout.split(torch.randn(layout.size))
    x = torch.randint(3, (2, 5)) if isinstance(inputs, Window) else torch.randn(2, *inputs)
    outputs = outputs_of(model, params, x, halve)
    assert list(seen) == sites
    assert not torch.allclose(outputs, outputs_of(model, params, x)), "what it returns is used"


@pytest.mark.parametrize(
    ("model", "inputs", "sites"),
    [
        (Mlp(widths=(4, 4)), (6,), 2),
        (Cnn(channels=(2, 3)), (1, 8, 8), 2),
        (ResNet(channels=(2, 3)), (1, 8, 8), 5),
    ],
)
def test_every_hidden_layer_is_a_site(
    model: ModelPart, inputs: tuple[int, ...], sites: int
) -> None:
    layout = Layout(model.shapes(inputs, 3))
    seen = {}

    def watch(h: torch.Tensor, site: str) -> torch.Tensor:
        seen[site] = h
        return torch.zeros_like(h)

    vector = torch.randn(layout.size)
    outputs = outputs_of(model, layout.split(vector), torch.randn(2, *inputs), watch)
    assert len(seen) == sites
    assert all((h >= 0).all() for h in seen.values()), "after the activation"
    head = [value for name, value in layout.split(vector).items() if name.endswith("bias")][-1]
    assert torch.equal(outputs, head.expand(2, 3)), "the next layer sees what the hook returned"


@pytest.mark.parametrize(
    "kind", ["gru", "lstm", "transformer", "diagonal", "autoencoder", "multitask"]
)
def test_normalization_is_a_setting_where_there_is_something_to_normalise(kind: str) -> None:
    with pytest.raises(ValidationError, match="normalization"):
        config(model={"kind": kind, "normalization": {"kind": "batch"}})


def test_without_widths_an_mlp_is_linear() -> None:
    assert Mlp(widths=()).shapes((4,), 2) == {"layers.0.weight": (2, 4), "layers.0.bias": (2,)}


@pytest.mark.parametrize(
    ("inputs", "message"), [((30,), "needs images"), ((1, 3, 9), "images of 3x9 pixels allow 1")]
)
def test_cnn_refuses_what_it_cannot_convolve(inputs: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Cnn(channels=(2, 2)).shapes(inputs, 3)


def test_layout_splits_and_joins() -> None:
    layout = Layout({"a.weight": (2, 3), "a.bias": (2,), "b.weight": (1, 2)})
    vector = torch.arange(10.0)
    named = layout.split(vector)
    assert named["a.bias"].tolist() == [6, 7]
    assert torch.equal(layout.join(dict(reversed(named.items()))), vector)
    assert layout.weight_mask(vector).tolist() == [1] * 6 + [0] * 2 + [1] * 2
