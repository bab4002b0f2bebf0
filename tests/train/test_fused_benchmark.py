from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_benchmark_runs_and_says_what_it_measured() -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/fused.py", "--lanes", "1", "4", "--seconds", "0"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "torch 2." in done.stdout and "1 thread" in done.stdout
    rows = re.findall(r"K = (\d+) .*\] +(\d+\.\d\d) +3 ", done.stdout)
    assert [int(lanes) for lanes, _ in rows] == [1, 4]
    assert all(0.01 < float(ratio) < 100 for _, ratio in rows)
