"""Directions of rows, as the methods of this folder compare them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpo.lazy import lazy

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


def as_rows(weight: torch.Tensor) -> torch.Tensor:
    """A weight [n, d] or OIHW as rows [n, d], float32 at least: half the bits are not enough to
    tell angles apart."""
    rows = weight.reshape(weight.shape[0], -1)
    return rows.float() if rows.element_size() < 4 else rows


def directions(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows [n, d] at length 1, and whether each has a direction at all, bool [n].

    A row of zeros stays one, and no gradient comes from it: others than zero would be as likely.
    """
    norms = torch.linalg.vector_norm(rows.detach(), dim=1)
    alive = norms > 0
    # Divided by 1 where there is nothing to divide: a gradient through 0 / 0 is not a number.
    safe = torch.where(alive.unsqueeze(1), rows, torch.ones_like(rows))
    return torch.where(
        alive.unsqueeze(1),
        safe / torch.linalg.vector_norm(safe, dim=1, keepdim=True),
        torch.zeros_like(rows),
    ), alive


def product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """a @ b with all the digits that they have, whatever autocast says."""
    with torch.autocast(a.device.type, enabled=False):
        return a @ b
