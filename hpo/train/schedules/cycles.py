"""Cycles that follow one another until the end of training."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from hpo.lazy import lazy

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


class Position(NamedTuple):
    """Where steps lie.

    Args:
        cycle: index of each step's cycle, int64 [T].
        share: of its cycle that is over, float64 [T], in [0, 1].
    """

    cycle: torch.Tensor
    share: torch.Tensor


def ends(total: int, cycles: int, growth: float) -> list[int]:
    """Steps done at the end of each cycle, each `growth` times as long as the one before."""
    over = list(accumulate(growth**cycle for cycle in range(cycles)))
    return [round(total * end / over[-1]) for end in over]


def positions(t: torch.Tensor, total: int, cycles: int, growth: float) -> Position:
    """Steps among cycles, each `growth` times as long as the one before.

    A cycle begins at a whole step. Where there are fewer steps than cycles, some have none.

    Args:
        t: step indices in [0, total], float64 [T].
    """
    over = torch.tensor(ends(total, cycles, growth), dtype=t.dtype)
    starts = torch.cat([torch.zeros(1, dtype=t.dtype), over[:-1]])
    cycle = torch.searchsorted(over, t, right=True).clamp(max=cycles - 1)
    return Position(cycle, (t - starts[cycle]) / (over - starts)[cycle].clamp(min=1))
