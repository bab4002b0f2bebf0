"""How much of a cluster is for one study: all of it, unless it has others beside it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

Share = Callable[[int], int]
"""How many of the workers that the nodes have room for are for this study now."""

Cluster = Callable[[], AbstractContextManager[Share]]
"""Connects this process with a Ray cluster, of which it has that share while it is connected."""


def all_of_it(room: int) -> int:
    return room
