from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_benchmark_runs_and_says_what_it_measured() -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/step.py", "--blocks", "2", "--steps", "2"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "torch 2." in done.stdout and "n = 2 blocks" in done.stdout
    rows = re.findall(r"^(mlp|cnn).* (\d+\.\d\d) ", done.stdout, flags=re.MULTILINE)
    assert len(rows) == 7
    assert all(0.05 < float(ratio) < 20 for _, ratio in rows)
