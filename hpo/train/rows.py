"""A split as training reads it: on the device where it fits, else beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpo.lazy import lazy

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

DATA_SHARE = 0.4
"""Share of a GPU's free memory that a split may take: a trial alone makes a shuffled copy of it."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a split.

    Args:
        x, y: as in `data.Arrays`; on the device, or in the machine's memory.
        device: to train on.
    """

    x: torch.Tensor
    y: torch.Tensor
    device: torch.device

    @classmethod
    def placed(cls, x: torch.Tensor, y: torch.Tensor, device: torch.device) -> Rows:
        """Rows from the machine's memory, copied to the device whole if it has room for them."""
        if x.nbytes + y.nbytes > room(device):
            return cls(x, y, device)
        return cls(x.to(device), y.to(device), device)

    def __len__(self) -> int:
        return len(self.x)

    @property
    def are_there(self) -> bool:
        """Whether they lie on the device."""
        return self.x.device.type == self.device.type

    def take(self, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows by number, on the device.

        Args:
            index: int64 [...].

        Returns:
            x [..., *inputs] and y [..., *targets].
        """
        here = index.to(self.x.device)
        return self._brought(self.x[here], self.y[here])

    def batches(
        self, size: int, order: torch.Tensor | None = None
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """All rows, so many at a time, on the device; the last may be fewer.

        Args:
            order: int64 [N]; as they lie by default.
        """
        x, y = self.x, self.y
        if order is not None:
            here = order.to(x.device)
            x, y = x[here], y[here]
        for batch in zip(torch.split(x, size), torch.split(y, size), strict=True):
            yield self._brought(*batch)

    def _brought(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x.to(self.device, non_blocking=True), y.to(self.device, non_blocking=True)


def room(device: torch.device) -> float:
    """Bytes of a split that may lie on a device."""
    if device.type != "cuda":
        return float("inf")  # the machine's memory is where it is already
    free, _ = torch.cuda.mem_get_info(device)
    return DATA_SHARE * free
