"""What goes wrong with a store."""

from __future__ import annotations

from hpo.errors import HpoError


class StoreLost(HpoError):
    """A store did not do what was asked of it, for longer than a run has patience."""
