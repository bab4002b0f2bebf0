"""Data that are too large for the device."""

from __future__ import annotations

import pytest
import torch

from hpo.train import rows
from hpo.train.rows import Rows

CPU = torch.device("cpu")


def numbered() -> Rows:
    return Rows.placed(torch.arange(10.0).view(5, 2), torch.arange(5), CPU)


def test_rows_by_number() -> None:
    x, y = numbered().take(torch.tensor([[4, 0], [1, 1]]))
    assert y.tolist() == [[4, 0], [1, 1]]
    assert x.tolist() == [[[8, 9], [0, 1]], [[2, 3], [2, 3]]]


def test_all_rows_in_batches() -> None:
    given = numbered()
    assert len(given) == 5 and given.are_there
    assert [y.tolist() for _, y in given.batches(2)] == [[0, 1], [2, 3], [4]]
    order = torch.tensor([3, 1, 4, 0, 2])
    found = list(given.batches(3, order))
    assert [y.tolist() for _, y in found] == [[3, 1, 4], [0, 2]]
    assert found[0][0][0].tolist() == [6, 7]


def test_what_does_not_fit_stays_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device `meta` has no memory at all: nothing can be read from what lies there."""
    meta = torch.device("meta")
    x, y = torch.arange(10.0).view(5, 2), torch.arange(5)
    assert Rows.placed(x, y, meta).x.device == meta
    monkeypatch.setattr(rows, "room", lambda device: x.nbytes + y.nbytes - 1)
    beside = Rows.placed(x, y, meta)
    assert not beside.are_there and beside.x is x
    taken, _ = beside.take(torch.tensor([1, 3]))
    assert taken.device == meta and taken.shape == (2, 2)
    sizes = [batch.shape for batch, _ in beside.batches(2, torch.tensor([1, 0, 2, 3, 4]))]
    assert sizes == [(2, 2), (2, 2), (1, 2)]
    assert all(batch.device == meta for batch, _ in beside.batches(2))
