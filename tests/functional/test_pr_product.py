from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hpo.errors import InputError
from hpo.functional import pr_conv2d, pr_linear
from hpo.train.regularizers.products import PrProducts

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "golden.json").read_text())


def normal(seed: int, *shape: int) -> torch.Tensor:
    return torch.tensor(np.random.RandomState(seed).standard_normal(shape))


def gradients(function: Any, *inputs: torch.Tensor, upstream: torch.Tensor) -> list[torch.Tensor]:
    leaves = [each.clone().requires_grad_() for each in inputs]
    return list(torch.autograd.grad((function(*leaves) * upstream).sum(), leaves))


def test_values_of_the_reference() -> None:
    x, weight, upstream = normal(10, 4, 5), normal(11, 3, 5), normal(12, 4, 3)
    golden = GOLDEN["pr_linear"]
    y = pr_linear(x, weight)
    assert y.flatten().tolist() == pytest.approx(golden["forward"], rel=1e-12)
    assert (y - x @ weight.T).abs().max() < 1e-12
    dx, dw = gradients(pr_linear, x, weight, upstream=upstream)
    assert dx.flatten().tolist() == pytest.approx(golden["grad_x"], rel=1e-10)
    assert dw.flatten().tolist() == pytest.approx(golden["grad_W"], rel=1e-10)
    _, plain = gradients(F.linear, x, weight, upstream=upstream)
    assert plain.flatten().tolist() == pytest.approx(golden["grad_W_plain_inner"], rel=1e-10)


def of_pair(w: list[float], x: list[float]) -> tuple[float, list[float], list[float]]:
    inputs = torch.tensor([x], dtype=torch.float64), torch.tensor([w], dtype=torch.float64)
    one = torch.ones(1, 1, dtype=torch.float64)
    dx, dw = gradients(pr_linear, *inputs, upstream=one)
    return pr_linear(*inputs).item(), dw[0].tolist(), dx[0].tolist()


@pytest.mark.parametrize("name", ["pr_orthogonal", "pr_30deg"])
def test_known_angles(name: str) -> None:
    golden = GOLDEN[name]
    y, dw, dx = of_pair(golden["w"], golden["x"])
    assert y == pytest.approx(golden["forward"][0], abs=1e-15)
    assert dw == pytest.approx([float(each) for each in golden["grad_w"]], rel=1e-12)
    assert dx == pytest.approx([float(each) for each in golden["grad_x"]], rel=1e-12)


@pytest.mark.parametrize("name", ["pr_parallel", "pr_antiparallel", "pr_axis_parallel"])
def test_parallel_pairs_have_the_gradient_of_the_plain_product(name: str) -> None:
    """In the reference it is not a number."""
    w, x = GOLDEN[name]["w"], GOLDEN[name]["x"]
    y, dw, dx = of_pair(w, x)
    assert y == GOLDEN[name]["forward"][0]
    assert dw == pytest.approx(x, rel=1e-9) and dx == pytest.approx(w, rel=1e-9)


def test_zeros_have_the_gradient_of_the_plain_product() -> None:
    assert of_pair([1.0, 2.0], [0.0, 0.0]) == (0.0, [0.0, 0.0], [1.0, 2.0])
    assert of_pair([0.0, 0.0], [1.0, 2.0]) == (0.0, [1.0, 2.0], [0.0, 0.0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("turn", [1e-2, 1e-4, 1e-6, 1e-8])
def test_nearly_parallel_pairs_turn_no_faster_than_a_thousand_times(
    turn: float, dtype: torch.dtype
) -> None:
    w, x = torch.tensor([[1.0, 0.0]], dtype=dtype), torch.tensor([[2.0, 2 * turn]], dtype=dtype)
    dx, dw = gradients(pr_linear, x, w, upstream=torch.ones(1, 1, dtype=dtype))
    exact = x.norm().item() * min(1.0, 1000 * turn)
    # Half the digits of a cosine near 1 are lost to its sine.
    tolerance = 0.05 if dtype == torch.float32 else 1e-6
    assert dw[0, 0].item() == pytest.approx(2, rel=1e-3)
    assert 0 <= dw[0, 1].item() <= exact * (1 + tolerance)
    assert dx.isfinite().all() and dx.norm() <= 1.5


def test_turning_is_as_fast_at_all_angles() -> None:
    for degrees in (1, 30, 60, 90, 120, 179):
        angle = np.deg2rad(degrees)
        x = [3 * float(np.cos(angle)), 3 * float(np.sin(angle))]
        _, dw, _ = of_pair([1.0, 0.0], x)
        assert dw[0] == pytest.approx(x[0], rel=1e-9), "along w as ever"
        assert dw[1] == pytest.approx(3, rel=1e-9)


def test_leading_dimensions_and_a_bias() -> None:
    x, weight, bias, upstream = (
        normal(0, 2, 3, 5),
        normal(1, 4, 5),
        normal(2, 4),
        normal(3, 2, 3, 4),
    )
    assert torch.allclose(pr_linear(x, weight, bias), F.linear(x, weight, bias), rtol=1e-12)
    dx, dw, db = gradients(pr_linear, x, weight, bias, upstream=upstream)
    flat = gradients(pr_linear, x.reshape(-1, 5), weight, bias, upstream=upstream.reshape(-1, 4))
    assert torch.allclose(dx.reshape(-1, 5), flat[0]) and torch.allclose(dw, flat[1])
    assert torch.allclose(db, upstream.sum((0, 1)))


PLACINGS: list[dict[str, Any]] = [
    {},
    {"padding": 1},
    {"stride": 2, "padding": (1, 0)},
    {"stride": (1, 2), "dilation": (2, 1), "padding": 2},
    {"padding": "same", "dilation": (1, 2)},
    {"padding": "valid"},
]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("placing", PLACINGS, ids=str)
@pytest.mark.parametrize("size", [(3, 3), (2, 4)])
def test_a_convolution_is_the_product_of_patches(
    placing: dict[str, Any], size: tuple[int, int]
) -> None:
    x, weight, bias = normal(0, 2, 3, 7, 8), normal(1, 4, 3, *size), normal(2, 4)
    x[0, :, :3, :3] = 0  # patches of zeros
    plain = F.conv2d(x, weight, bias, **placing)
    found = pr_conv2d(x, weight, bias, **placing)
    assert torch.allclose(found, plain, rtol=1e-12)

    def by_patches(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        dilation = placing.get("dilation", 1)
        padding = placing.get("padding", 0)
        if padding == "same":
            whole = [
                step * (each - 1) for step, each in zip(dilation, weight.shape[2:], strict=True)
            ]
            (top, left), padding = [each // 2 for each in whole], 0
            x = F.pad(x, (left, whole[1] - left, top, whole[0] - top))
        padding = 0 if padding == "valid" else padding
        patches = F.unfold(x, weight.shape[2:], dilation, padding, placing.get("stride", 1))
        return pr_linear(patches.mT, weight.flatten(1), bias).mT.reshape(plain.shape)

    upstream = normal(3, *plain.shape)
    ours = gradients(
        lambda *inputs: pr_conv2d(*inputs, **placing), x, weight, bias, upstream=upstream
    )
    theirs = gradients(by_patches, x, weight, bias, upstream=upstream)
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-11)


def test_they_are_mapped_over_weights_and_inputs() -> None:
    def dense(weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return pr_linear(x, weight).square().sum()

    def kernel(weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return pr_conv2d(x, weight, padding=1, stride=2).square().sum()

    for function, weights, x in (
        (dense, normal(0, 3, 4, 5), normal(1, 3, 6, 5)),
        (kernel, normal(0, 3, 4, 2, 3, 3), normal(1, 3, 6, 2, 5, 5)),
    ):
        mapped = torch.func.vmap(torch.func.grad(function, (0, 1)))(weights, x)
        for k in range(3):
            alone = torch.func.grad(function, (0, 1))(weights[k], x[k])
            for one, other in zip(mapped, alone, strict=True):
                assert torch.allclose(one[k], other, rtol=1e-10, atol=1e-12)
        shared = torch.func.vmap(torch.func.grad(function), in_dims=(0, None))(weights, x[0])
        assert torch.allclose(shared[1], torch.func.grad(function)(weights[1], x[0]), rtol=1e-10)


def test_fewer_bits_in_the_forward_pass() -> None:
    x, weight = torch.randn(4, 6, requires_grad=True), torch.randn(3, 6, requires_grad=True)
    image, kernel = torch.randn(2, 3, 5, 5), torch.randn(4, 3, 3, 3, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y = pr_linear(pr_linear(x, weight), torch.randn(2, 3, requires_grad=True))
        z = pr_conv2d(image.bfloat16(), kernel)
        loss = y.sum() + z.sum()
        dx, dw, dk = torch.autograd.grad(loss, (x, weight, kernel))
    assert y.dtype == z.dtype == torch.bfloat16
    assert dx.dtype == dw.dtype == dk.dtype == torch.float32
    assert all(each.isfinite().all() for each in (dx, dw, dk))


# ---- inside modules ----


def module_gradients(module: nn.Module, x: torch.Tensor, **mode: Any) -> list[torch.Tensor]:
    params = dict(module.named_parameters())
    named = {name: params[name] for name in mode.pop("names")} if "names" in mode else None
    with PrProducts(named, **{"strict": False} | mode):
        y = torch.func.functional_call(module, params, (x,))
    return list(torch.autograd.grad(y.square().sum(), list(params.values())))


def plain_gradients(module: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    return list(torch.autograd.grad(module(x).square().sum(), list(module.parameters())))


MODULES = {
    "dense": (nn.Linear(5, 4), (3, 5)),
    "1-d": (nn.Conv1d(2, 4, 3, stride=2, padding=1, dilation=2), (3, 2, 9)),
    "1-d, same": (nn.Conv1d(2, 4, 4, padding="same"), (3, 2, 9)),
    "2-d": (nn.Conv2d(2, 4, 3, padding="same"), (3, 2, 6, 6)),
    "circular": (nn.Conv2d(2, 4, 3, padding=1, padding_mode="circular"), (3, 2, 6, 6)),
}


@pytest.mark.parametrize("name", MODULES)
def test_modules_have_their_products_replaced(name: str) -> None:
    module, shape = MODULES[name]
    x, module = normal(0, *shape), module.double()
    with PrProducts(None, strict=False):
        assert torch.allclose(module(x), y := module(x), rtol=1e-12)
    assert torch.allclose(module(x), y, rtol=1e-12)
    found, plain = module_gradients(module, x), plain_gradients(module, x)
    assert not torch.allclose(found[0], plain[0], rtol=1e-2)
    assert torch.allclose(found[1], plain[1], rtol=1e-10), "of the bias"


def test_a_1d_convolution_is_the_product_of_patches() -> None:
    module, x = nn.Conv1d(2, 4, 3, stride=2, padding=1, dilation=2).double(), normal(0, 3, 2, 9)
    patches = F.unfold(x.unsqueeze(2), (1, 3), (1, 2), (0, 1), (1, 2)).mT
    dense = nn.Linear(6, 4).double()
    dense.weight.data, dense.bias.data = module.weight.data.flatten(1), module.bias.data
    ours, theirs = module_gradients(module, x), module_gradients(dense, patches)
    assert torch.allclose(ours[0].flatten(1), theirs[0], rtol=1e-10)


def test_products_are_chosen_by_their_very_weights() -> None:
    net = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    x = normal(0, 6, 5)
    last, plain = module_gradients(net, x, names=["2.weight"]), plain_gradients(net, x)
    assert not torch.allclose(last[2], plain[2], rtol=1e-2)
    copy = {"0.weight": net[0].weight.clone()}
    with pytest.raises(InputError, match=r"with 0\.weight"), PrProducts(copy, strict=False):
        net(x)
    both = module_gradients(net, x, names=["0.weight", "2.weight"])
    assert torch.equal(both[2], last[2]) and not torch.allclose(both[0], last[0], rtol=1e-2)


def test_groups_are_left_alone_and_a_weight_that_is_not_met_is_told() -> None:
    grouped = nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.Conv2d(4, 2, 3)).double()
    x = normal(0, 3, 2, 6, 6)
    found, plain = module_gradients(grouped, x), plain_gradients(grouped, x)
    assert not torch.allclose(found[2], plain[2], rtol=1e-2)
    with pytest.raises(InputError, match=r"without groups with 0\.weight") as refused:
        module_gradients(grouped, x, names=["0.weight", "1.weight"], strict=True)
    assert "nn.LSTM" in refused.value.hint
    with pytest.raises(InputError, match="with any weight"):
        module_gradients(grouped[0], x)
    with pytest.raises(ZeroDivisionError), PrProducts(None, strict=False):
        1 / 0  # noqa: B018
