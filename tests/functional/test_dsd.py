from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hpo.functional import dsd_mask

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "golden.json").read_text())
WEIGHT = torch.tensor(np.random.RandomState(80).standard_normal((4, 5)))


def test_values_of_the_formula() -> None:
    expected = GOLDEN["dsd"]
    mask = dsd_mask(WEIGHT, 0.3)
    assert mask.shape == WEIGHT.shape and mask.dtype == torch.bool
    assert (~mask).sum() == expected["n_zero"]
    assert (~mask).flatten().nonzero().flatten().tolist() == expected["zero_flat_idx"]
    assert WEIGHT.abs()[~mask].max().item() == pytest.approx(expected["threshold"], rel=1e-12)


@pytest.mark.parametrize(("sparsity", "zeros"), [(0.0, 0), (0.049, 0), (0.05, 1), (0.99, 19)])
def test_as_many_go_as_are_asked_for(sparsity: float, zeros: int) -> None:
    assert (~dsd_mask(WEIGHT, sparsity)).sum() == zeros
    assert (~dsd_mask(WEIGHT.float(), torch.tensor(sparsity))).sum() == zeros


def test_equals_go_together() -> None:
    weight = torch.tensor([[1.0, -1.0, 1.0, 2.0]])
    assert dsd_mask(weight, 0.25).tolist() == [[False, False, False, True]]
    assert dsd_mask(torch.zeros(2, 3), 0.0).all(), "none is asked for"


def test_filters_are_pruned_element_by_element() -> None:
    kernel = torch.randn(6, 2, 3, 3)
    assert torch.equal(dsd_mask(kernel, 0.4).flatten(), dsd_mask(kernel.flatten(), 0.4))


def test_it_is_mapped_over_weights_and_sparsities() -> None:
    weights, shares = torch.randn(3, 4, 5), torch.tensor([0.0, 0.3, 0.8])
    masks = torch.func.vmap(dsd_mask)(weights, shares)
    assert (~masks).sum((1, 2)).tolist() == [0, 6, 16]
    for mask, weight, share in zip(masks, weights, shares, strict=True):
        assert torch.equal(mask, dsd_mask(weight, share))
