"""Packs of the built-in trainer on Ray, from study files named as a user names them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import hpo
from hpo import metric_log
from hpo import study as studies
from hpo.records import State

ROOT = Path(__file__).parents[2]
MNIST1D = ROOT.parent / "shared" / "data" / "mnist1d.npz"


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(0)
    y = np.arange(300) % 3
    np.savez(tmp_path / "rows.npz", x=rng.normal(size=(300, 5)) + rng.normal(size=(3, 5))[y], y=y)
    monkeypatch.chdir(tmp_path)

    def write(name: str, pack: int | str) -> Path:
        content = {
            "name": name,
            "trainable": "builtin",
            "space": {
                "data": {"kind": "npz", "path": "rows.npz"},
                "model": {"kind": "mlp", "widths": [8]},
                "epochs": 4,
                "precision": "float64",
                "batch_lr": {
                    "batch_size": {"choices": [16, 32]},
                    "base_lr": {"low": 0.1, "high": 2.0, "log": True},
                },
                "dropout": {"hidden": {"low": 0.0, "high": 0.3}},
            },
            "objective": {"metric": "val_loss"},
            "search": {"sampler": "random", "trials": 12},
            "resources": {"workers": 2, "cpus": 1, "pack": pack},
            "final": {"top_k": 2, "repeats": 2},
            "tracking": {"uri": "none"},
        }
        Path(f"{name}.yaml").write_text(json.dumps(content))
        return Path(f"{name}.yaml")

    return write


def test_a_study_in_packs_comes_to_what_it_comes_to_alone(study, home):
    together = studies.run(study("together", 6), home=home)
    alone = studies.run(study("alone", "off"), inline=True, home=home)
    assert all(t.state is State.COMPLETE for t in together.trials)
    folder = home.study("together")
    said = [folder.output(t.number) for t in together.trials]
    assert not any("go on alone" in path.read_text() for path in said if path.exists())
    metrics = {t.number: metric_log.read(folder.metrics(t.number)) for t in together.trials}
    at = {(r.step, round(r.time, 1)) for reports in metrics.values() for r in reports}
    assert len(at) < sum(map(len, metrics.values())), "none reported beside another"
    assert [t.config for t in together.trials] == [t.config for t in alone.trials]
    for ours, theirs in zip(together.trials, alone.trials, strict=True):
        assert ours.metrics == pytest.approx(theirs.metrics, rel=1e-9)
    assert together.best is not None and alone.best is not None
    assert together.best.config == alone.best.config
    assert len(together.runs) == len(alone.runs) == 4
    for ours, theirs in zip(together.runs, alone.runs, strict=True):
        assert ours.metrics == pytest.approx(theirs.metrics, rel=1e-9)


@pytest.mark.slow
@pytest.mark.skipif(not MNIST1D.exists(), reason=f"needs {MNIST1D}, which is not shipped")
def test_the_shipped_study_of_packs_from_file_to_winner(tmp_path, home):
    shutil.copy(ROOT / "studies" / "mnist1d.yaml", tmp_path)
    shutil.copy(MNIST1D, tmp_path)
    result = studies.run(tmp_path / "mnist1d.yaml", home=home)
    assert result.done and result.trouble is None
    states = [trial.state for trial in result.trials]
    assert len(states) == 60 and set(states) == {State.COMPLETE, State.PRUNED}
    final = result.kept.final
    assert len(final.candidates) == 3
    winner = final.winner
    assert len(winner.values) == 5 and np.mean(winner.values) < 0.5

    rows = np.load(MNIST1D)
    scores = hpo.load_model("mnist1d", home)(torch.from_numpy(rows["x_test"]))
    wrong = (scores.argmax(1).numpy() != rows["y_test"]).mean()
    assert wrong == pytest.approx(winner.test["test_error"][0])
