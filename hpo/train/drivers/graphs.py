"""CUDA graphs: a step of a small net is a hundred kernels, each shorter than its launch.

Captured once for a number of lanes, the whole step is launched as one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hpo.lazy import lazy

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

WARM_UPS = 2  # libraries choose kernels and take workspaces in their first calls


class Captured:
    """A function without arguments that works on tensors which stay where they are.

    Args:
        function: called a few times while it is captured: what it writes to is to be set again.
        reset: makes a call possible; called before each.
    """

    def __init__(self, function: Callable[[], None], reset: Callable[[], None]) -> None:
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                reset()
                function()
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            function()

    def __call__(self) -> None:
        self._graph.replay()
