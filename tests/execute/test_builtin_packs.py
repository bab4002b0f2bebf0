"""Packs of the built-in trainer on Ray, from a study file named as a user names it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hpo import metric_log
from hpo import study as studies
from hpo.records import State


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
