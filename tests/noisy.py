"""A trainable whose result is partly luck, with test metrics and a refit."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

import hpo

STEPS = 3
BASELINE = 0.5
"""The one value of x that runs in a final stage that is broken."""

MARKER = 0.75
"""The test metric of trial 0; their name is in nothing else."""


class Config(BaseModel):
    x: float = Field(0.5, ge=0, le=1)
    spread: float = 0.05
    nap: float = 0.0
    log: str = ""
    die_at: int = -1


class Noisy(hpo.Trainable):
    config_type = Config
    refits = True

    def steps(self, config: Config) -> int:
        return STEPS

    def fingerprint(self, config: Config, folder: Path) -> Mapping[str, str]:
        rows = folder / "rows.txt"
        return {"rows": rows.read_text()} if rows.exists() else {}

    def run(self, config: Config, trial: hpo.Trial) -> dict[str, float] | None:
        value = (config.x - 0.3) ** 2 + random.Random(trial.seed).gauss(0, config.spread)
        in_final = trial.checkpoint_dir.parents[2].name == "final"
        if in_final and config.x != BASELINE and (trial.folder / "broken").exists():
            raise ValueError("no")
        self._note(config, ran=trial.number, seed=trial.seed, refit=trial.refit)
        time.sleep(config.nap)
        for step in range(1, (trial.refit or STEPS) + 1):
            if trial.refit is None:
                trial.report({"loss": value + 1 / step}, step)
            else:  # a loss here would be of rows that it was trained on
                trial.report({"train_loss": 1 / step, "loss": -1.0}, step)
        if config.die_at == trial.number and (trial.folder / "armed").exists():
            (trial.folder / "armed").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        (trial.checkpoint_dir / "model.json").write_text(json.dumps({"x": config.x}))
        return {"loss": value}

    def test(self, config: Config, trial: hpo.Trial) -> dict[str, float]:
        assert json.loads((trial.checkpoint_dir / "model.json").read_text()) == {"x": config.x}
        self._note(config, tested=trial.number)
        return {"test_loss": MARKER + trial.number}

    def _note(self, config: Config, **facts: Any) -> None:
        if config.log:
            with Path(config.log).open("a") as log:
                log.write(json.dumps({**facts, "pid": os.getpid()}) + "\n")


trainer = Noisy()
