"""Packs on a GPU, as CUDA graphs and step by step, beside the same trials alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from test_fused_driver import PARTS, alone, fuse, lanes_of, weights
from train_helpers import EVERYTHING

from hpo.records import Decision
from hpo.train import rows

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
CUDA: dict[str, Any] = {"device": "cuda"}


@pytest.mark.parametrize(
    "part", ["everything", "growing_batch", "early_stopping", "adamw", "batch_norm", "repr"]
)
def test_a_lane_equals_the_same_trial_alone(tmp_path: Path, part: str) -> None:
    changes = EVERYTHING | CUDA | (PARTS[part] if part != "everything" else {})
    cases = lanes_of(changes)
    graphs = fuse(tmp_path / "graphs", lanes_of({**changes, "cuda_graphs": True}))
    eager = fuse(tmp_path / "eager", cases)
    for k, case in enumerate(cases):
        _, result = alone(tmp_path / f"alone-{k}", case, seed=k)
        assert graphs.ended[k] == pytest.approx(result, rel=1e-10, abs=1e-10)
        assert eager.ended[k] == pytest.approx(result, rel=1e-10, abs=1e-10)
        for kind in ("graphs", "eager"):
            own, theirs = weights(tmp_path / kind / f"{k}"), weights(tmp_path / f"alone-{k}" / "ck")
            assert (own - theirs).abs().max() <= 1e-10


def test_a_lane_that_stops_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    cases = lanes_of(EVERYTHING | CUDA | {"cuda_graphs": True}, count=4)
    whole = fuse(tmp_path / "graphs", cases)
    cut = fuse(tmp_path / "eager", cases, stop={(1, 2): Decision.PRUNE})
    for k in (0, 2, 3):
        assert cut.ended[k] == pytest.approx(whole.ended[k], rel=1e-12)


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_coarser_products_lead_near_the_same_place(tmp_path: Path, precision: str) -> None:
    exact = fuse(tmp_path / "graphs", lanes_of(CUDA | {"precision": "float32"}))
    coarse = fuse(tmp_path / "eager", lanes_of(CUDA | {"precision": precision}))
    for k in range(3):
        ours, theirs = coarse.ended[k], exact.ended[k]
        assert ours is not None and theirs is not None
        assert ours["val_loss"] == pytest.approx(theirs["val_loss"], rel=0.2, abs=0.02)
        assert ours != theirs, "the precision changed nothing"


def test_data_that_do_not_fit_train_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = lanes_of(EVERYTHING | CUDA)
    there = fuse(tmp_path / "there", cases)
    monkeypatch.setattr(rows, "room", lambda device: 0)
    beside = fuse(tmp_path / "beside", lanes_of(EVERYTHING | CUDA | {"cuda_graphs": True}))
    for k, case in enumerate(cases):
        assert beside.ended[k] == pytest.approx(there.ended[k], rel=1e-12)
        _, result = alone(tmp_path / f"alone-{k}", case, seed=k)
        assert beside.ended[k] == pytest.approx(result, rel=1e-10)
