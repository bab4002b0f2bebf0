from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from train_helpers import config, outputs_of

from hpo.errors import InputError
from hpo.train.layout import Layers, Layout
from hpo.train.models import Autoencoder, Cnn, Gru, Lstm, Mlp, ModelPart, ResNet, Transformer
from hpo.train.models.base import Kind
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

    def halve(h: torch.Tensor, site: str, kind: Kind = "activation") -> torch.Tensor:
        if kind == "activation":
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

    def watch(h: torch.Tensor, site: str, kind: Kind = "activation") -> torch.Tensor:
        if kind == "activation":
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


@pytest.mark.parametrize("model", [Gru(width=4, layers=2), Lstm(width=4, layers=2)])
def test_a_cell_sees_its_last_state_through_one_site_at_each_step(model: ModelPart) -> None:
    layout = model.layout((5, 3), 2)
    params, x = layout.split(torch.randn(layout.size)), torch.randn(6, 5, 3)
    seen: list[str] = []

    def forget(h: torch.Tensor, site: str, kind: Kind = "activation") -> torch.Tensor:
        if kind != "state":
            return h
        seen.append(site)
        return torch.zeros_like(h)

    forgetful = outputs_of(model, params, x, forget)
    assert seen == ["rnn.l0"] * 3 + ["rnn.l1"] * 3
    blind = {
        name: torch.zeros_like(value) if "weight_hh" in name else value
        for name, value in params.items()
    }
    assert torch.allclose(forgetful, outputs_of(model, blind, x)), "no state reaches the gates"


@pytest.mark.parametrize(
    ("model", "inputs", "blocks"),
    [
        (ResNet(channels=(2, 3)), (1, 8, 8), ["stages.0.0", "stages.1.0"]),
        (
            Transformer(width=4, heads=2, hidden=6, layers=1),
            (1, 5),
            ["layers.0.self_attn", "layers.0.linear2"],
        ),
    ],
)
def test_what_is_added_to_a_bypass_is_a_site(
    model: ModelPart, inputs: tuple[int, ...], blocks: list[str]
) -> None:
    layout = model.layout(inputs, 2)
    seen: list[str] = []

    def bypassed(h: torch.Tensor, site: str, kind: Kind = "activation") -> torch.Tensor:
        if kind != "branch":
            return h
        seen.append(site)
        return torch.zeros_like(h)

    params, x = layout.split(torch.randn(layout.size)), torch.randn(6, *inputs)
    without = outputs_of(model, params, x, bypassed)
    assert seen == blocks
    changed = {
        name: torch.randn_like(value) if name.rpartition(".")[0].endswith(INSIDE) else value
        for name, value in params.items()
    }
    assert torch.equal(without, outputs_of(model, changed, x, bypassed)), "the branch has no say"


INSIDE = ("conv2", "out_proj", "linear1", "linear2")


SHAPES = {
    "trunk.0.weight": (4, 3),
    "trunk.0.bias": (4,),
    "trunk.1.direction": (4, 4),
    "trunk.1.gain": (4,),
    "conv.weight": (6, 2, 3, 3),
    "embedding.weight": (9, 4),
    "head.weight": (2, 4),
    "head.bias": (2,),
}


@pytest.mark.parametrize(
    ("layers", "directions", "found"),
    [
        ("all", False, ["trunk.0.weight", "conv.weight", "head.weight"]),
        ("all", True, ["trunk.0.weight", "trunk.1.direction", "conv.weight", "head.weight"]),
        ("hidden", False, ["trunk.0.weight", "conv.weight"]),
        ("conv", False, ["conv.weight"]),
        ("linear", True, ["trunk.0.weight", "trunk.1.direction", "head.weight"]),
        (("trunk",), False, ["trunk.0.weight"]),
        (("head", "trunk.0.weight"), False, ["trunk.0.weight", "head.weight"]),
    ],
)
def test_layers_are_meant_by_kind_or_by_name(
    layers: Layers, directions: bool, found: list[str]
) -> None:
    assert Layout(SHAPES, {"embedding.weight"}).select(layers, directions) == found


@pytest.mark.parametrize("layers", [("trunk.0", "trunk.7"), ("tru",), ("embedding",)])
def test_a_layer_that_is_not_there_is_refused(layers: Layers) -> None:
    with pytest.raises(InputError, match=f"no weights {layers[-1]}") as refused:
        Layout(SHAPES, {"embedding.weight"}).select(layers)
    assert "trunk.0.weight, conv.weight, head.weight" in refused.value.hint


def test_a_weight_of_several_blocks_is_as_many_matrices() -> None:
    weight = torch.randn(6, 2, 3, 3)
    whole, grouped = Layout(SHAPES), Layout(SHAPES, blocks={"conv.weight": 3})
    assert whole.matrices("conv.weight", weight).shape == (1, 6, 18)
    found = grouped.matrices("conv.weight", weight)
    assert found.shape == (3, 2, 18)
    assert torch.equal(found[1, 0], weight[2].flatten())
