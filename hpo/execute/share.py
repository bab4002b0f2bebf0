"""How much of the cluster this process may use: all of it, unless it was told to share.

Like Ray's connection it is one for the process, and whoever connects says it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Share = Callable[[int], int]
"""How many of the workers that the nodes have room for are for this process now."""


def all_of_it(room: int) -> int:
    return room


_share: Share = all_of_it


def share_of(room: int) -> int:
    """How many workers this process may have.

    Args:
        room: for how many the nodes have room.
    """
    return _share(room)


@contextmanager
def sharing(share: Share) -> Iterator[None]:
    """Inside, this process has a part of the cluster, which may change at any moment."""
    global _share
    _share = share
    try:
        yield
    finally:
        _share = all_of_it
