"""Which rows a trial sees, and in which order."""

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


def bootstraps(seeds: Sequence[int], rows: torch.Tensor) -> torch.Tensor:
    """As many rows as there are, drawn with replacement, for each of K trials: the same draws in
    every epoch. About 63 % of the rows are among them.

    Args:
        seeds: of the trials, [K].
        rows: 0 to N - 1, int64 [N].

    Returns:
        int64 [K, N].
    """
    keys = torch.tensor([derive(seed, "bootstrap") for seed in seeds], device=rows.device)
    return mix(mix(rows) ^ keys[:, None]) * len(rows) >> 32
