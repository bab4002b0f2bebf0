from __future__ import annotations

import torch
from scipy import stats

from hpo.train.order import orders

ROWS = torch.arange(100)


def test_an_order_has_every_row_once_and_depends_on_seed_and_epoch_alone() -> None:
    found = orders([1, 1, 2, 1], [0, 1, 0, 0], ROWS)
    assert (found.sort(dim=1).values == ROWS).all()
    assert torch.equal(found[0], found[3])
    assert torch.equal(found[1], orders([1], [1], ROWS)[0])
    assert not torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_every_row_is_as_likely_at_every_place() -> None:
    rows = torch.arange(10)
    found = orders(range(4000), [3] * 4000, rows)
    for place in range(10):
        counts = torch.bincount(found[:, place], minlength=10)
        assert stats.chisquare(counts.numpy()).pvalue > 1e-4


def test_neighbouring_rows_are_not_kept_together() -> None:
    found = orders(range(2000), [0] * 2000, ROWS)
    places = found.argsort(dim=1).double()
    near = (places[:, 0] - places[:, 1]).abs()
    assert stats.kstest(near.numpy(), lambda d: 1 - (1 - d / 100) ** 2).pvalue > 1e-4
