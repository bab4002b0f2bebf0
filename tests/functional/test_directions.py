"""What methods that compare rows have in common."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from hpo.functional import (
    comhe_energy,
    mhe_energy,
    mma_loss,
    orthogonality_cost,
    orthoreg_cost,
    orthoreg_gradient,
)

METHODS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "mma": mma_loss,
    "mhe": mhe_energy,
    "comhe": lambda weight: comhe_energy(weight, torch.ones(2, 3, 5).tril()),
    "orthoreg": orthoreg_cost,
    "orthoreg's gradient": orthoreg_gradient,
    "orthogonality": orthogonality_cost,
}


@pytest.mark.parametrize("name", METHODS)
def test_angles_are_computed_with_all_digits_under_autocast(name: str) -> None:
    weight, weights = torch.randn(8, 5), torch.randn(2, 8, 5)
    expected, mapped = METHODS[name](weight), torch.func.vmap(METHODS[name])(weights)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(METHODS[name](weight), expected)
        assert torch.equal(torch.func.vmap(METHODS[name])(weights), mapped)
