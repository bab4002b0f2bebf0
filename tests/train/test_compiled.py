from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from test_fused_driver import BASE, fuse, lanes_of
from train_helpers import EVERYTHING

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler"),
]


def test_a_compiled_step_comes_to_the_same(tmp_path: Path) -> None:
    plain = fuse(tmp_path / "plain", lanes_of(EVERYTHING))
    compiled = fuse(tmp_path / "compiled", lanes_of({**EVERYTHING, "compile": True}))
    assert BASE["precision"] == "float64"
    for k in range(3):
        assert compiled.ended[k] == pytest.approx(plain.ended[k], rel=1e-9)
