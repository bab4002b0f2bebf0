from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from hpo.errors import InputError
from hpo.lazy import lazy
from hpo.train.layout import Layers, Layout, Named
from hpo.train.regularizers.base import Context, Regularizer

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F

    from hpo.train.regularizers import products
else:
    F = lazy("torch.nn.functional")
    products = lazy("hpo.train.regularizers.products")

Pair = int | Sequence[int]


def pr_linear(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """w x + b, with gradients in which what turns w and x is divided by |sin| of their angle.

    With the projection P of x on w and the rejection R = x - P, the gradient of w x by w is
    P + R / max(|sin|, 1e-3) in place of P + R, and by x alike. Lengths change as they ever do, and
    directions as fast where w and x are nearly parallel as where they are orthogonal. Parallel ones
    and zeros have the gradient of the plain product.

    Args:
        x: [..., d].
        weight: [n, d].
        bias: [n].

    Returns:
        [..., n], what `F.linear` gives.

    Reference: Wang et al. 2019, PR Product, arXiv:1904.02148.
    """
    apply: Callable[..., torch.Tensor] = products.Linear.apply
    y = apply(x.reshape(-1, x.shape[-1]), weight)
    y = y.reshape(*x.shape[:-1], -1)
    return y if bias is None else y + bias


def pr_conv2d(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
) -> torch.Tensor:
    """A convolution with the gradients of `pr_linear`, x being each patch that a filter meets.

    Args:
        x: [B, I, H, W].
        weight: [O, I, h, w], a single group.
        bias: [O].
        stride, padding, dilation: as `F.conv2d` takes them.

    Returns:
        [B, O, H', W'], what `F.conv2d` gives.

    Reference: Wang et al. 2019, PR Product, arXiv:1904.02148.
    """
    steps = _pair(dilation)
    if isinstance(padding, str):
        if padding == "same":
            (top, bottom), (left, right) = map(_halves, steps, weight.shape[2:])
            x = F.pad(x, (left, right, top, bottom))
        padding = 0
    apply: Callable[..., torch.Tensor] = products.Conv2d.apply
    y = apply(x, weight, _pair(stride), _pair(padding), steps)
    return y if bias is None else y + bias.view(-1, 1, 1)


def _pair(size: Pair) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    return size[0], size[-1]


def _halves(step: int, size: int) -> tuple[int, int]:
    """What keeps a length under a kernel of this dilation and size, before it and after it."""
    whole = step * (size - 1)
    return whole // 2, whole - whole // 2


class PrProduct(Regularizer):
    """Replaces the products of inputs and weights in training by `pr_linear` and `pr_conv2d`.

    It reaches dense layers and 1-d and 2-d convolutions of all models, each step of a recurrent one
    and modules of yours included: all that calls `F.linear`, `F.conv1d` or `F.conv2d`. Convolutions
    in groups are left alone, and so is what torch multiplies inside `nn.LSTM`, `nn.GRU` and
    `nn.MultiheadAttention`. The forward pass is unchanged; gradients are at most 1000 times larger.
    """

    reference: ClassVar[str] = "Wang et al. 2019, PR Product, arXiv:1904.02148"

    layers: Layers = Field(
        "all",
        description="all: each product, whatever its weight; hidden (no head), conv, linear, or "
        "names of layers: those whose weight is a parameter itself, and not computed from one, as "
        "normalization weight does",
    )

    def check(self, name: str, inputs: tuple[int, ...], layout: Layout) -> None:
        try:
            self.names(layout)
        except InputError as error:
            raise InputError(f"{name}.layers: {error.message}", error.hint) from None

    def names(self, layout: Layout) -> list[str] | None:
        """Of the weights whose products are meant; `None`: all products.

        Raises:
            InputError: see `Layout.select`.
        """
        return None if self.layers == "all" else layout.select(self.layers)

    def during_forward(self, params: Named, context: Context) -> AbstractContextManager[object]:
        names = self.names(context.layout)
        weights = None if names is None else {name: params[name] for name in names}
        return products.PrProducts(weights, strict=not isinstance(self.layers, str))
