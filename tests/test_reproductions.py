"""What docs/reproductions.md says is found by its scripts, and was found elsewhere before."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from golden import GOLDEN

from hpo.functional import early_stopping_window
from hpo.train.models import Diagonal

ROOT = Path(__file__).parents[1]
KNOWN = GOLDEN["implicit_sparse_fixed_recipe"]
RUNS = [
    run
    for statement in KNOWN
    if statement.startswith("corollary") and "fixed_w0" not in statement
    for run in KNOWN[statement]
]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "studies" / "reproductions"))
    return importlib.import_module


def run(module: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> None:
    monkeypatch.setattr(sys, "argv", ["script", "--out", str(folder), *more])
    module.main()


def test_a_step_is_that_of_the_model(script: Any) -> None:
    module = script("implicit_sparsity")
    problem = module.recipe()
    found = module.descend(problem, 3, 0.1, 0.01, 2)
    x, y = torch.from_numpy(problem.x), torch.from_numpy(problem.y)
    model, params = Diagonal(depth=3, alpha=0.1), torch.full((2, 200), 0.1, dtype=torch.float64)

    def loss(uv: torch.Tensor) -> torch.Tensor:
        named = {"u": uv[:1], "v": uv[1:]}
        outputs, _ = model.apply(named, {}, x, lambda h, site, kind="": h, training=True)
        return (outputs[:, 0] - y).square().mean()

    for _ in range(2):
        params = params - 0.01 * torch.func.grad(loss)(params)
    w = (params[0] ** 3 - params[1] ** 3).numpy()
    assert np.abs(found.w - w).max() < 1e-14


@pytest.mark.parametrize("known", [r for r in RUNS if r["argmin"] < 300])
def test_windows_are_those_computed_elsewhere(script: Any, known: dict[str, Any]) -> None:
    module = script("implicit_sparsity")
    last = (known["window"] or [0, known["argmin"]])[1]
    steps = min(last + 10, 2500)
    found = module.descend(module.recipe(), known["N"], known["alpha"], known["eta"], steps)
    window = early_stopping_window(found.errors, module.THRESHOLD)
    assert window.minimum == pytest.approx(known["min_l2sq"], rel=1e-6)
    assert window.best == known["argmin"]
    assert window.first == (known["window"] or [None])[0]
    if last < steps:
        assert window.last == (known["window"] or [None, None])[1]


def test_every_run_of_the_page_is_known(script: Any) -> None:
    shown = {
        setting for runs in script("implicit_sparsity").STATEMENTS.values() for setting in runs
    }
    assert shown == {(run["N"], run["alpha"], run["eta"], run["T"]) for run in RUNS}


def test_the_page_has_their_windows() -> None:
    page = (ROOT / "docs" / "reproductions.md").read_text()
    for each in RUNS:
        first, last, length = each["window"] or (None, None, 0)
        window = f"{first} to {last}" if first else "none"
        row = (
            rf"\| {each['N']} \| {each['alpha']:g} \| {each['eta']:.3g} \| {window} \| {length} \|"
        )
        assert re.search(row, page), row


def test_deeper_nets_come_nearer_to_a_sparse_image(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = script("sparse_image")
    monkeypatch.setattr(module, "STEPS", 6000)
    problem = module.measured()
    errors = [problem.error(w) for w in module.recovered(problem).values()]
    least_norm, two, three, five, lasso = errors
    assert least_norm > 2 * two > 4 * three and five < two and lasso < 1e-9
    run(module, tmp_path, monkeypatch)
    assert (tmp_path / "sparse_image.png").stat().st_size > 1000


def test_closed_forms_are_met(
    script: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(script("closed_forms"), tmp_path, monkeypatch, "--masks", "200")
    dropout, stopped, _, bounded = (
        float(found) for found in re.findall(r"(\S+) +│\n", capsys.readouterr().out)
    )
    assert dropout < 0.05 and stopped < 1e-12 and bounded < 1e-9
    assert (tmp_path / "early_stopping_as_l2.png").stat().st_size > 1000
