from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn
from train_helpers import config

from hpo.errors import InputError
from hpo.train.drivers.single import value_and_grad
from hpo.train.evaluation import evaluate, totals_of
from hpo.train.lanes import bind, knobs
from hpo.train.layout import Layout
from hpo.train.models import Cnn, Mlp, ModelPart, ResNet
from hpo.train.models.base import as_it_is
from hpo.train.noise import step_keys
from hpo.train.normalizations import (
    BatchNorm,
    LayerNorm,
    LocalResponseNorm,
    NormalizationPart,
    WeightNorm,
)
from hpo.train.problem import assemble
from hpo.train.step import Batch, Knobs, Step

LIKE = torch.empty(0, dtype=torch.float64)
IMAGES = (1, 8, 8)
KINDS = ["none", "batch", "layer", "weight", "local_response"]


def draws(seed: int, *shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape))


def first_params(model: ModelPart, inputs: tuple[int, ...], outputs: int = 3) -> Any:
    """Drawn weights, all else as the model has it before training."""
    generator = torch.Generator().manual_seed(0)
    return model.init_params(
        {
            name: torch.randn(shape, generator=generator, dtype=torch.float64) / math.sqrt(shape[1])
            if len(shape) > 1
            else torch.zeros(shape, dtype=torch.float64)
            for name, shape in model.shapes(inputs, outputs).items()
        }
    )


def at_unit_gain(part: NormalizationPart, z: torch.Tensor, state: Any, training: bool) -> Any:
    params = part.init_params({n: z.new_zeros(s) for n, s in part.place("a", z.shape[1]).items()})
    return part.before(z, "a", params, state or part.init_state(params), training)


# ---- known values, and torch's own ----


def test_batch_norm_known_values() -> None:
    z = draws(70, 4, 3)
    trained, state = at_unit_gain(BatchNorm(), z, None, training=True)
    expected = [1.2152865985985897, 1.0163666832018892, -0.7466740826845636]
    assert trained[0].tolist() == pytest.approx(expected, rel=1e-12)
    expected = [-0.08503030814603958, -0.052873785585646386, -0.007258357140016833]
    assert state["a.mean"].tolist() == pytest.approx(expected, rel=1e-12)
    expected = [1.1613010512706783, 0.9644235072081675, 1.0456698291073914]
    assert state["a.var"].tolist() == pytest.approx(expected, rel=1e-12)
    evaluated, after = at_unit_gain(BatchNorm(), z, state, training=False)
    expected = [0.8685892083805639, 0.2348427864292735, -0.8271013722449219]
    assert evaluated[0].tolist() == pytest.approx(expected, rel=1e-12)
    assert all(torch.equal(after[name], state[name]) for name in state)


def test_layer_norm_known_values() -> None:
    normalised, _ = at_unit_gain(LayerNorm(), draws(70, 4, 3), None, training=True)
    expected = [1.1308044984336039, 0.1700774202285481, -1.3008819186621516]
    assert normalised[0].tolist() == pytest.approx(expected, rel=1e-12)


def test_layer_norm_of_images_is_over_channels_and_pixels() -> None:
    z = draws(1, 5, 3, 4, 4)
    normalised, _ = at_unit_gain(LayerNorm(), z, None, training=False)
    assert torch.allclose(normalised, nn.functional.layer_norm(z, (3, 4, 4)), rtol=1e-12)


def test_local_response_known_values() -> None:
    h = draws(71, 1, 5, 2, 2) * 10
    divided = LocalResponseNorm(k=1, alpha=1e-4 / 5).after(h)  # torch divides alpha by size
    expected = [-4.303211255749049, -11.894371403474839, -4.431774632644095, 4.870999894570305]
    assert divided.flatten()[:4].tolist() == pytest.approx(expected, rel=1e-12)
    assert divided.sum().item() == pytest.approx(-45.84095480889997, rel=1e-12)


def test_local_response_is_the_formula_of_alexnet() -> None:
    h = draws(2, 2, 7, 1, 1)
    part = LocalResponseNorm(size=3, alpha=0.5, beta=0.75, k=2)
    for i in range(7):
        around = h[:, max(0, i - 1) : i + 2].square().sum(1)
        assert torch.allclose(part.after(h)[:, i], h[:, i] / (2 + 0.5 * around) ** 0.75)
    assert torch.equal(LocalResponseNorm(beta=0).after(h), h)


def test_weights_before_batch_norm_have_no_scale() -> None:
    weight, x, targets = draws(95, 4, 3), draws(96, 8, 3), draws(97, 8, 4)

    def loss(w: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        h, state = at_unit_gain(BatchNorm(eps=1e-300), x @ w.T, None, training=True)
        return (h - targets).square().mean(), state

    value, grads, _ = value_and_grad(loss, weight)
    tripled, thirds, _ = value_and_grad(loss, 3 * weight)
    assert value.item() == pytest.approx(1.846733363540311, rel=1e-12)
    assert tripled.item() == pytest.approx(1.8467333635403107, rel=1e-12)
    assert (grads * weight).sum(1).abs().max() < 1e-15, "at right angles to each unit's weights"
    assert torch.allclose(thirds, grads / 3, rtol=1e-12)


def test_weight_norm_equals_torch() -> None:
    """The weight, and gradients by length and direction."""
    torch.manual_seed(0)
    model = Mlp(widths=(4,), normalization=WeightNorm())
    params = first_params(model, (6,))
    drawn = params["layers.0.direction"]
    assert torch.equal(params["layers.0.gain"], drawn.norm(dim=1))
    assert torch.allclose(model.normalization.weight(params, "layers.0"), drawn, rtol=1e-14)

    layer = nn.utils.parametrizations.weight_norm(nn.Linear(6, 4, dtype=torch.float64))
    layer.weight = drawn
    v = drawn.clone().requires_grad_()
    g = params["layers.0.gain"].clone().requires_grad_()
    weight = model.normalization.weight({"a.direction": v, "a.gain": g}, "a")
    probe = torch.randn(4, 6, dtype=torch.float64)
    (weight * probe).sum().backward()
    (layer.weight * probe).sum().backward()
    stock = layer.parametrizations.weight
    assert torch.allclose(g.grad, stock.original0.grad.flatten(), rtol=1e-12)
    assert torch.allclose(v.grad, stock.original1.grad, rtol=1e-12)
    assert (v.grad * v).sum(1).abs().max() < 1e-14, "at right angles to the direction"


class Stock(nn.Module):
    """The residual net as a PyTorch user writes it: two stages of one block each."""

    def __init__(self, batch: bool) -> None:
        super().__init__()
        conv = {"kernel_size": 3, "padding": 1, "bias": not batch}
        self.stem = nn.Conv2d(1, 4, **conv)
        sizes = [(4, 4, 1), (4, 6, 2)]
        self.first = nn.ModuleList(nn.Conv2d(i, o, stride=s, **conv) for i, o, s in sizes)
        self.second = nn.ModuleList(nn.Conv2d(o, o, **conv) for _, o, _ in sizes)
        self.skip = nn.Conv2d(4, 6, 1, stride=2, bias=False)
        self.head = nn.Linear(6, 3)
        norms = {"0.conv1": 4, "0.conv2": 4, "1.conv1": 4, "1.conv2": 6, "head": 6}
        names = {name.replace(".", "_"): units for name, units in norms.items()}
        self.norms = nn.ModuleDict(
            {name: nn.BatchNorm2d(n) if batch else nn.Identity() for name, n in names.items()}
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.stem(x)
        for i in range(2):
            a = torch.relu(self.norms[f"{i}_conv1"](h))
            shortcut = self.skip(a) if i else h
            a = torch.relu(self.norms[f"{i}_conv2"](self.first[i](a)))
            h = shortcut + self.second[i](a)
        return self.head(torch.relu(self.norms["head"](h)).mean((2, 3)))

    def load(self, named: Any) -> None:
        layers = {"stem": self.stem, "head": self.head, "stages.1.0.skip": self.skip}
        for i in range(2):
            layers |= {f"stages.{i}.0.conv1": self.first[i], f"stages.{i}.0.conv2": self.second[i]}
        norms = {"head": self.norms["head"]} | {
            f"stages.{i}.0.conv{j}": self.norms[f"{i}_conv{j}"] for i in range(2) for j in (1, 2)
        }
        for path, value in named.items():
            name, _, what = path.rpartition(".")
            if what in ("gain", "shift"):
                setattr(norms[name], {"gain": "weight", "shift": "bias"}[what], nn.Parameter(value))
            else:
                setattr(layers[name], what, nn.Parameter(value))


@pytest.mark.parametrize("kind", ["none", "batch"])
def test_a_residual_net_equals_stock_torch(kind: str) -> None:
    model = ResNet.model_validate({"channels": [4, 6], "normalization": {"kind": kind}})
    params = {n: v + 0.1 * torch.rand_like(v) for n, v in first_params(model, IMAGES).items()}
    net = Stock(kind == "batch").double()
    net.load(params)
    assert sum(v.numel() for v in params.values()) == sum(p.numel() for p in net.parameters())
    state = model.init_state(params)
    for _ in range(3):
        x = torch.randn(5, *IMAGES, dtype=torch.float64)
        outputs, state = model.apply(params, state, x, as_it_is, training=True)
        assert torch.allclose(outputs, net(x), rtol=1e-10, atol=1e-12)
    x = torch.randn(1, *IMAGES, dtype=torch.float64)
    outputs, after = model.apply(params, state, x, as_it_is, training=False)
    assert torch.allclose(outputs, net.eval()(x), rtol=1e-10, atol=1e-12)
    assert all(torch.equal(after[name], state[name]) for name in after), "evaluation learns nothing"
    assert len(state) == (10 if kind == "batch" else 0)


@pytest.mark.parametrize("kind", ["none", "batch", "layer"])
def test_batch_and_layer_norm_in_an_mlp_equal_stock_torch(kind: str) -> None:
    norm = {"none": nn.Identity, "batch": nn.BatchNorm1d, "layer": nn.LayerNorm}[kind]
    layers: list[nn.Module] = []
    for inputs, units in ((6, 5), (5, 4)):
        layers += [nn.Linear(inputs, units, bias=kind == "none"), norm(units), nn.Tanh()]
    net = nn.Sequential(*layers, nn.Linear(4, 3)).double()
    model = Mlp.model_validate(
        {"widths": [5, 4], "activation": "tanh", "normalization": {"kind": kind}}
    )
    params = {n: v + 0.1 * torch.rand_like(v) for n, v in first_params(model, (6,)).items()}
    for parameter, value in zip(net.parameters(), params.values(), strict=True):
        parameter.data = value
    state = model.init_state(params)
    for _ in range(3):
        x = torch.randn(5, 6, dtype=torch.float64)
        outputs, state = model.apply(params, state, x, as_it_is, training=True)
        assert torch.allclose(outputs, net(x), rtol=1e-10, atol=1e-12)
    outputs, _ = model.apply(params, state, x, as_it_is, training=False)
    assert torch.allclose(outputs, net.eval()(x), rtol=1e-10, atol=1e-12)


# ---- what models make of them ----


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("model", [Mlp, Cnn, ResNet])
def test_gains_shifts_and_biases_do_not_come_from_the_initializer(
    model: type[ModelPart], kind: str, tmp_path: Path
) -> None:
    if model is Mlp and kind == "local_response":
        return
    case = config(
        data={"kind": "sklearn", "name": "digits"},
        model={"kind": model.model_fields["kind"].default, "normalization": {"kind": kind}},
        initialization={"kind": "constant", "value": 0.5},
        precision="float64",
    )
    problem = assemble(case, tmp_path)
    named = problem.layout.split(problem.initial_params(0))
    for path, value in named.items():
        what = path.rpartition(".")[2]
        if what in ("weight", "direction"):
            assert (value == 0.5).all(), path
        elif what in ("bias", "shift"):
            assert (value == 0).all(), path
        elif kind == "weight":
            direction = named[path.replace(".gain", ".direction")]
            assert torch.allclose(value, 0.5 * math.sqrt(direction[0].numel()) + 0 * value)
        else:
            assert what == "gain" and (value == 1).all(), path
    hidden = {path for path in named if not path.startswith(("head", f"layers.{2}"))}
    assert any(path.endswith("bias") for path in hidden) == (kind not in ("batch", "layer"))


def test_penalties_act_on_weights_and_not_on_gains_or_directions() -> None:
    for normalization, penalised in ((BatchNorm(), "weight"), (WeightNorm(), "nothing")):
        layout = Layout(Mlp(widths=(4,), normalization=normalization).shapes((5,), 3))
        mask = layout.split(layout.weight_mask(LIKE))
        for path, value in mask.items():
            acts = path == "layers.1.weight" or path == f"layers.0.{penalised}"
            assert (value == float(acts)).all(), path


def test_decay_and_max_norm_leave_the_direction_alone() -> None:
    model = {"kind": "mlp", "widths": [4], "normalization": {"kind": "weight"}}
    both = {"weight_decay": {"strength": 1.0}, "max_norm": {"radius": 0.1}}
    plain = config(model=model, loss={"kind": "cross_entropy"})
    penalised = config(model=model, loss={"kind": "cross_entropy"}, regularization=both)
    layout = Layout(plain.model.shapes((5,), 3))
    start = layout.join(first_params(plain.model, (5,)))
    without, found = (
        layout.split(after_steps(case, layout, start, 1)[0]) for case in (plain, penalised)
    )
    for path in found:
        assert torch.equal(found[path], without[path]) == (path != "layers.1.weight"), path


def after_steps(case: Any, layout: Layout, start: torch.Tensor, steps: int) -> Any:
    step = Step(case, layout, LIKE, value_and_grad)
    parts = Knobs.of(bind(case, {k: LIKE.new_tensor(v) for k, v in knobs(case).items()}))
    params, state = start, step.init_state(start, parts)
    generator = torch.Generator().manual_seed(1)
    for t in range(steps):
        batch = Batch(
            torch.randn(8, 5, generator=generator, dtype=torch.float64),
            torch.randint(3, (8,), generator=generator),
            LIKE.new_tensor(float(t)),
            LIKE.new_tensor(0.1),
            step_keys(0, torch.tensor([t]))[0],
        )
        params, state, _ = step(params, state, batch, parts)
    return params, state


@pytest.mark.parametrize("model", ["mlp", "resnet"])
def test_evaluation_maps_over_parameters_and_states(model: str, tmp_path: Path) -> None:
    case = config(
        data={"kind": "sklearn", "name": "digits"},
        model={"kind": model, "normalization": {"kind": "batch"}},
        precision="float64",
    )
    problem = assemble(case, tmp_path)
    rows = problem.rows(problem.splits.validation)
    params = torch.stack([problem.initial_params(seed) for seed in range(3)])
    state = {
        name: torch.stack([value + 0.1 * k for k in range(3)])
        for name, value in case.model.init_state(problem.layout.split(params[0])).items()
    }
    found = torch.func.vmap(lambda p, s: totals_of(problem, p, s, rows.x, rows.y))(params, state)
    for k in range(3):
        own = {name: value[k] for name, value in state.items()}
        assert (totals_of(problem, params[k], own, rows.x, rows.y) - found[k]).abs().max() <= 1e-10
        loss, error = (found[k] / len(rows.x)).tolist()
        assert evaluate(problem, params[k], own, rows) == pytest.approx(
            {"loss": loss, "error": error}, rel=1e-12
        )
    assert not torch.allclose(found[0], found[1], rtol=1e-3)


def test_a_batch_of_one_row_leaves_running_statistics_alone() -> None:
    z = draws(3, 1, 4)
    normalised, state = at_unit_gain(BatchNorm(), z, None, training=True)
    assert (normalised == 0).all(), "the shift is all that is left"
    assert (state["a.mean"] == 0).all() and (state["a.var"] == 1).all()


def test_batches_of_one_row_are_refused() -> None:
    normalised = {"kind": "mlp", "normalization": {"kind": "batch"}}
    with pytest.raises(ValidationError, match="batches of at least 2 rows"):
        config(model=normalised, batch_lr={"batch_size": 1})
    assert config(model=normalised, batch_lr={"batch_size": 2})


def test_a_layer_of_one_unit_has_no_layer_norm() -> None:
    model = Mlp(widths=(3, 1), normalization=LayerNorm())
    with pytest.raises(InputError, match=r"got one in layers\.1"):
        model.shapes((5,), 2)


def test_dense_layers_have_no_neighbouring_channels() -> None:
    with pytest.raises(ValidationError, match="expected tags: 'none', 'batch', 'layer', 'weight'"):
        config(model={"kind": "mlp", "normalization": {"kind": "local_response"}})


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ((30,), "model resnet needs images"),
        ((1, 3, 9), "halves images 2 times, images of 3x9 pixels allow 1"),
    ],
)
def test_a_residual_net_refuses_what_it_cannot_halve(inputs: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ResNet(channels=(2, 2, 2)).shapes(inputs, 3)
