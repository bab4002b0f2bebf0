"""A mapped step as kernels of its own, made by torch.compile."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hpo.lazy import lazy

if TYPE_CHECKING:
    import torch
    import torch.fx.experimental.proxy_tensor as proxy_tensor
else:
    torch = lazy("torch")
    proxy_tensor = lazy("torch.fx.experimental.proxy_tensor")


class Compiled:
    """A function of trees of tensors, compiled anew for each shape that it is called with.

    It is traced to plain tensor operations first, which settles transforms and settings: the
    compiler knows neither.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._made: dict[tuple[torch.Size, ...], Callable[..., Any]] = {}

    def __call__(self, *trees: Any) -> Any:
        leaves = torch.utils._pytree.tree_leaves(trees)
        shapes = tuple(leaf.shape for leaf in leaves)
        if shapes not in self._made:
            # make_fx counts parameters, which those of a transformed function do not tell.
            traced = proxy_tensor.make_fx(lambda *given: self._function(*given))(*trees)
            self._made[shapes] = torch.compile(traced, dynamic=False)
        return self._made[shapes](*trees)
