"""What the PR product needs of torch: gradients of its own, and a place in other people's modules.

Apart from the part itself, since its classes are made of torch's, and importing it loads torch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import TracebackType
from typing import Any

import torch
import torch.nn.functional as F
import torch.nn.grad
from torch.overrides import TorchFunctionMode

from hpo.errors import InputError
from hpo.train.regularizers.pr_product import Pair, pr_conv2d, pr_linear

STEEPEST = 1e-3
"""Sines below it count as this one, since 1 / sin has no bound."""


# Typed here, since torch leaves them untyped.
Gradient = Callable[..., torch.Tensor]
conv2d_input: Gradient = torch.nn.grad.conv2d_input
conv2d_weight: Gradient = torch.nn.grad.conv2d_weight


class Linear(torch.autograd.Function):
    """From x [B, d] and a weight [n, d] to [B, n]."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return F.linear(x, weight)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        ctx.save_for_backward(*inputs, output)

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x, weight, y, g = _alike(*ctx.saved_tensors, *upstream)
        turning, along_x, along_w = _factors(
            y, x.square().sum(1, keepdim=True), weight.square().sum(1)
        )
        turned = g * turning
        dx = turned @ weight + (g * along_x).sum(1, keepdim=True) * x
        dw = turned.T @ x + (g * along_w).sum(0).unsqueeze(1) * weight
        return dx, dw


class Conv2d(torch.autograd.Function):
    """From x [B, I, H, W], a weight [O, I, h, w] and where it is placed to [B, O, H', W']."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        x: torch.Tensor,
        weight: torch.Tensor,
        stride: tuple[int, int],
        padding: tuple[int, int],
        dilation: tuple[int, int],
    ) -> torch.Tensor:
        return F.conv2d(x, weight, None, stride, padding, dilation)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        x, weight, *ctx.placing = inputs
        ctx.save_for_backward(x, weight, output)

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight, y, g = _alike(*ctx.saved_tensors, *upstream)
        ones = torch.ones_like(weight[:1, :1])
        patches = F.conv2d(x.square().sum(1, keepdim=True), ones, None, *ctx.placing)
        filters = weight.square().sum((1, 2, 3)).view(-1, 1, 1)
        turning, along_x, along_w = _factors(y, patches, filters)
        turned = g * turning
        # An entry of x has a share of all patches that it lies in.
        plane = (len(x), 1, *x.shape[2:])
        shares = conv2d_input(plane, ones, (g * along_x).sum(1, keepdim=True), *ctx.placing)
        dx = conv2d_input(x.shape, weight, turned, *ctx.placing) + shares * x
        own = (g * along_w).sum((0, 2, 3)).view(-1, 1, 1, 1)
        dw = conv2d_weight(x, weight.shape, turned, *ctx.placing) + own * weight
        return dx, dw, None, None, None


def _alike(
    x: torch.Tensor, weight: torch.Tensor, *products: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """All in the precision of the weight: under autocast, inputs and products have fewer bits."""
    return tuple(tensor.to(weight.dtype) for tensor in (x, weight, *products))


def _factors(
    y: torch.Tensor, x_squares: torch.Tensor, w_squares: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The gradient of y = w x by w is a x + c w, and by x it is a w + b x: a, b and c, as y.

    a is 1 / |sin| of the angle between w and x; with b = (1 - a) y / |x|^2, and c alike, the rest
    of the gradient, along w or x, is that of the plain product.

    Args:
        x_squares, w_squares: |x|^2 and |w|^2, so that they can be multiplied.
    """
    tiny = torch.finfo(y.dtype).tiny
    cosines = y / (x_squares * w_squares).sqrt().clamp(min=tiny)
    sines = torch.sqrt((1 - cosines.square()).clamp(min=0))
    turning = torch.where(sines > 0, 1 / sines.clamp(min=STEEPEST), 1.0)
    rest = (1 - turning) * y
    return turning, rest / x_squares.clamp(min=tiny), rest / w_squares.clamp(min=tiny)


class PrProducts(TorchFunctionMode):
    """Within it products of inputs and weights are PR products: see `PrProduct`.

    Args:
        weights: those of the products that are meant, by name: these very tensors, and no copies;
            `None`: all products.
        strict: whether each of the weights must be in a product that can be replaced.

    Raises:
        InputError: at its end, that there was no such product.
    """

    def __init__(self, weights: Mapping[str, torch.Tensor] | None, strict: bool) -> None:
        super().__init__()
        self._weights = None if weights is None else {id(w): name for name, w in weights.items()}
        self._strict = strict
        self._met: set[int] = set()

    def __torch_function__(
        self,
        func: Any,
        types: Collection[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in PRODUCTS:
            weight = args[1] if len(args) > 1 else kwargs["weight"]
            if self._weights is None or id(weight) in self._weights:
                found = PRODUCTS[func](*args, **kwargs)
                if found is not None:
                    self._met.add(id(weight))
                    return found
        return func(*args, **kwargs)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)  # type: ignore[no-untyped-call]
        if kind is not None:
            return
        missed = [name for key, name in (self._weights or {}).items() if key not in self._met]
        if not self._met or (self._strict and missed):
            raise InputError(
                "regularization.pr_product found no dense layer or convolution without groups "
                f"with {', '.join(missed) or 'any weight'}",
                "name other layers; nn.LSTM, nn.GRU and nn.MultiheadAttention multiply inside "
                "torch, where it cannot reach",
            )


def _linear(
    input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor | None:
    return pr_linear(input, weight, bias) if weight.dim() == 2 else None


def _conv2d(
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> torch.Tensor | None:
    if groups != 1 or input.dim() != 4:
        return None
    return pr_conv2d(input, weight, bias, stride, padding, dilation)


def _conv1d(
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> torch.Tensor | None:
    if groups != 1 or input.dim() != 3:
        return None

    def flat(size: Pair, across: int) -> tuple[int, int]:
        return across, size if isinstance(size, int) else size[0]

    y = pr_conv2d(
        input.unsqueeze(2),
        weight.unsqueeze(2),
        bias,
        flat(stride, 1),
        padding if isinstance(padding, str) else flat(padding, 0),
        flat(dilation, 1),
    )
    return y.squeeze(2)


PRODUCTS: dict[Callable[..., Any], Callable[..., torch.Tensor | None]] = {
    F.linear: _linear,
    F.conv1d: _conv1d,
    F.conv2d: _conv2d,
}
"""What stands for torch's functions, with their arguments; it gives `None` where it cannot."""
