"""Benchmarks: what the functions for the samplers promise, and that they run."""

from __future__ import annotations

import importlib
import math
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

BEST = {
    "Branin": {"x": math.pi, "y": 2.275},
    "Hartmann-6": dict(
        zip(
            [f"x{i}" for i in range(6)],
            [0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573],
            strict=True,
        )
    ),
    "diverging-5": {
        "lr": 0.0025,
        "momentum": 0.9,
        "decay": 10**-3.5,
        "dropout": 0.25,
        "smoothing": 0.1,
    },
    "conditional": {"decay": 1e-4, "optimizer": {"kind": "sgd", "lr": 0.1, "momentum": 0.9}},
}


@pytest.fixture
def problems(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("problems").PROBLEMS


def anywhere(node, rng):
    """A config of a space, uniform in what is searched."""
    if not isinstance(node, dict):
        return node
    if "choices" in node:
        return anywhere(rng.choice(node["choices"]), rng)
    if "low" in node:
        low, high = node["low"], node["high"]
        if node.get("log"):
            return math.exp(rng.uniform(math.log(low), math.log(high)))
        return rng.uniform(low, high)
    return {key: anywhere(item, rng) for key, item in node.items()}


@pytest.mark.parametrize("name", BEST)
def test_the_optimum_is_attained_and_nothing_is_below_it(problems, name):
    problem = problems[name]
    assert set(problems) == set(BEST)
    assert problem.loss(BEST[name]) == pytest.approx(problem.optimum, abs=1e-5)
    rng = random.Random(0)
    losses = [problem.loss(anywhere(problem.space, rng)) for _ in range(3000)]
    assert min(loss for loss in losses if math.isfinite(loss)) > problem.optimum
    diverged = sum(map(math.isnan, losses)) / len(losses)
    assert diverged == pytest.approx(1 / 3 if name == "diverging-5" else 0, abs=0.03)


def test_the_benchmark_compares_every_sampler_on_every_function():
    done = subprocess.run(
        [sys.executable, "benchmarks/regret.py", "--quick"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "n = 2 seeds, 11 trials each" in done.stdout
    regrets, diverged = done.stdout.split("diverged trials")
    samplers = ["random", "qmc", "tpe", "gp", "cmaes", "auto"]
    rows = re.findall(
        r"^\| (\S+) \| (\S+) \| \d.* \| (?:no difference|better|worse) \|$", regrets, re.M
    )
    assert rows == [(function, sampler) for function in BEST for sampler in samplers]
    rows = re.findall(r"^\| (\S+) \| (\S+) \| \d+ \(\d", diverged, re.M)
    assert rows == [("diverging-5", sampler) for sampler in samplers]


def test_the_benchmark_of_a_whole_search_runs_every_side():
    done = subprocess.run(
        [sys.executable, "benchmarks/time_to_target.py", "--quick"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "4 trials, up to 2 epochs each, 2 workers" in done.stdout and "n = 1" in done.stdout
    figure = r"\d+\.\d \(\d+\.\d to \d+\.\d\)"
    for side in ("hpo, packs", "hpo, alone", "stock"):
        (row,) = re.findall(rf"^│ +{side} │(.*)│$", done.stdout, re.M)
        cells = [cell.strip() for cell in row.split("│")]
        assert all(re.fullmatch(figure, cells[i]) for i in (0, 2, 3)), row
        assert re.fullmatch(figure, cells[1]) or (cells[1] == "never" and side != "stock")
        assert cells[5] == "8 (8 to 8)", "no trial ends before its second epoch"
    for line in ("stock / hpo, packs: ", "data: ", "Ray's own start", "CPUs, Python"):
        assert line in done.stdout
