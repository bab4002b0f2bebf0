"""A store as something that one process can use, and another perhaps cannot."""

from __future__ import annotations

import uuid
from contextlib import suppress
from dataclasses import dataclass

from hpo.checkpoints import transfer
from hpo.checkpoints.lost import StoreLost

PATIENCE_S = 10.0
"""How long a store may be away while somebody waits for an answer."""


@dataclass(frozen=True, slots=True)
class Store:
    """Where checkpoints go that every node should reach.

    Args:
        root: a URI or a folder.
    """

    root: str

    def put_mark(self) -> str:
        """Puts something there that others look for.

        Raises:
            StoreLost: it cannot be written from here.
        """
        mark = f"mark-{uuid.uuid4().hex}"
        transfer.persistently(
            lambda: transfer.write_text(f"{self.root}/{mark}", mark),
            PATIENCE_S,
            f"the store for checkpoints, {self.root}, cannot be written",
        )
        return mark

    def sees(self, mark: str) -> str:
        """Why this process cannot read what was put there; empty if it can."""
        try:
            found = transfer.persistently(
                lambda: transfer.read_text(f"{self.root}/{mark}"), PATIENCE_S, "not there"
            )
        except StoreLost as lost:
            return lost.message
        return "" if found == mark else "something else is there"

    def remove_mark(self, mark: str) -> None:
        with suppress(Exception):
            transfer.remove(f"{self.root}/{mark}")

    def check(self) -> None:
        """Writes there, and removes it again.

        Raises:
            StoreLost: it cannot be written from here.
        """
        self.remove_mark(self.put_mark())
