from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hpo.functional import repr_reinit, repr_scores, repr_select

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "golden.json").read_text())
KERNELS = {
    "c1": torch.tensor(np.random.RandomState(20).standard_normal((6, 3, 3, 3))),
    "c2": torch.tensor(np.random.RandomState(21).standard_normal((8, 6, 3, 3))),
}


def test_scores_of_the_reference() -> None:
    scores = repr_scores(KERNELS)
    for name in KERNELS:
        expected = GOLDEN["repr_prune"][f"scores_{name}"]
        assert scores[name].tolist() == pytest.approx(expected, rel=1e-5), "it has float32"


def test_what_the_reference_drops() -> None:
    expected = GOLDEN["repr_prune"]
    scores = repr_scores(KERNELS)
    selected = repr_select(scores, 0.3)
    assert selected["c1"].tolist() == expected["pruned_c1"]
    assert selected["c2"].tolist() == expected["pruned_c2"]
    together = torch.cat([scores["c1"], scores["c2"]])
    assert together.argsort(descending=True).tolist() == expected["order_desc"]
    assert torch.quantile(together, 0.7).item() == pytest.approx(expected["threshold"], rel=1e-5)


def test_of_nearly_parallel_rows_both_are_first_to_go() -> None:
    expected = GOLDEN["repr_order_example"]
    scores = repr_scores({"w": torch.tensor(expected["W"], dtype=torch.float64)})
    assert scores["w"].tolist() == pytest.approx(expected["scores"], rel=1e-9, abs=1e-15)
    assert repr_select(scores, 0.5)["w"].tolist() == [0, 1]


def test_a_layer_loses_no_more_than_its_share() -> None:
    selected = repr_select(repr_scores(KERNELS), 0.3, max_per_layer=0.5)
    assert selected["c1"].tolist() == [1, 2, 3], "the highest scores"
    assert selected["c2"].tolist() == []
    assert repr_select(repr_scores(KERNELS), 0.9, 0.1)["c1"].tolist() == []


@pytest.mark.parametrize("fraction", [0.0, torch.tensor(0.0)])
def test_none_is_dropped_where_none_is_to_be(fraction: Any) -> None:
    assert all(len(rows) == 0 for rows in repr_select(repr_scores(KERNELS), fraction).values())


def test_filters_of_zeros_and_single_ones_resemble_none() -> None:
    scores = repr_scores({"a": torch.tensor([[1.0, 0], [0, 0], [2, 0]]), "b": torch.ones(1, 3)})
    assert scores["a"].tolist() == pytest.approx([1 / 3, 0, 1 / 3])
    assert scores["b"].tolist() == [0]


def cosines(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    unit = [rows.flatten(1) / rows.flatten(1).norm(dim=1, keepdim=True) for rows in (one, other)]
    return (unit[0] @ unit[1].T).abs()


def test_new_filters_point_where_none_did() -> None:
    """The reference loses that when it clamps: its largest cosine is 0.40."""
    old, kept = KERNELS["c1"][:4], KERNELS["c1"][4:]
    new = repr_reinit(old, kept, torch.Generator().manual_seed(0))
    assert new.shape == old.shape
    assert cosines(new, KERNELS["c1"]).max() < 1e-14
    assert GOLDEN["repr_reinit"]["c1"]["max_abs_cos_new_vs_kept_and_old"] > 0.4
    assert (cosines(new, new) - torch.eye(4)).abs().max() < 1e-14, "nor does another new one"
    mean = KERNELS["c1"].flatten(1).norm(dim=1).mean()
    assert torch.allclose(new.flatten(1).norm(dim=1), mean, rtol=1e-12)


def test_new_filters_are_drawn() -> None:
    old, kept = KERNELS["c1"][:2], KERNELS["c1"][2:]
    one, same, other = (
        repr_reinit(old, kept, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(one, same) and not torch.allclose(one, other)


def test_directions_that_depend_on_others_take_no_room() -> None:
    """As in the golden null space: 11 filters that span 8 of 36 directions leave 28."""
    rng = np.random.RandomState(0)
    rows = torch.tensor(rng.standard_normal((11, 8)) @ rng.standard_normal((8, 36)))
    _, free = GOLDEN["repr_null_space"]["null_shape"]
    old, kept = torch.cat([rows] * 3)[:free], rows
    new = repr_reinit(old, kept)
    assert cosines(new, rows).max() < 1e-12
    assert (cosines(new, new) - torch.eye(free)).abs().max() < 1e-12


def test_fewer_free_directions_than_filters_are_shared() -> None:
    rows = torch.tensor(np.random.RandomState(1).standard_normal((4, 5)))
    new = repr_reinit(rows[:3], rows[3:])
    assert cosines(new, rows).max() < 1e-12
    assert cosines(new, new).min().item() == pytest.approx(1), "one direction is free"


def test_where_no_direction_is_free_any_other_is_drawn() -> None:
    rows = torch.randn(8, 3)
    new = repr_reinit(rows[:2], rows[2:])
    assert new.isfinite().all() and new.dtype == torch.float32
    assert torch.allclose(new.norm(dim=1), rows.norm(dim=1).mean())


@pytest.mark.parametrize("kept", [0, 3])
def test_layers_may_lose_all_or_none(kept: int) -> None:
    rows = torch.randn(3, 2, 3, 3)
    assert repr_reinit(rows[kept:], rows[:kept]).shape == rows[kept:].shape


def test_scores_are_mapped_over_weights() -> None:
    weights = torch.randn(3, 6, 4)
    found = torch.func.vmap(repr_scores)({"w": weights})["w"]
    for scores, weight in zip(found, weights, strict=True):
        assert torch.allclose(scores, repr_scores({"w": weight})["w"])
        assert 0 <= scores.min() and scores.max() < 1 and math.isfinite(scores.sum())
