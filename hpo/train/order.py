"""In which order a trial sees its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hpo.lazy import lazy
from hpo.train.noise import derive, mix

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


def orders(seeds: Sequence[int], epochs: Sequence[int], rows: torch.Tensor) -> torch.Tensor:
    """A shuffle of all rows for each of K trials: rows sorted by a random word for (seed, epoch,
    row). It depends on nothing else, and is the same on every device.

    Args:
        seeds: of the trials, [K].
        epochs: that each is about to begin, [K].
        rows: 0 to N - 1, int64 [N].

    Returns:
        int64 [K, N].
    """
    keys = [derive(seed, "order", epoch) for seed, epoch in zip(seeds, epochs, strict=True)]
    words = mix(mix(rows) ^ torch.tensor(keys, device=rows.device)[:, None])
    return words.argsort(dim=1, stable=True)
