"""A trainable that goes on until it is let through, and says what it does."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import hpo


def may_pass(gate: Path, number: int) -> bool:
    """Whether a trial may end: all may if the gate is empty, otherwise as many as it says."""
    if not gate.exists():
        return False
    text = gate.read_text()
    return not text or number < int(text)


def train(config: dict[str, Any], trial: hpo.Trial) -> dict[str, float]:
    """Reports until it may pass its study's gate, and goes on from its checkpoint."""
    gate, state = Path(config["gate"]), trial.checkpoint_dir / "step.json"
    begin = json.loads(state.read_text()) if state.exists() else 0
    with gate.with_suffix(".log").open("a") as log:
        log.write(json.dumps({"number": trial.number, "from": begin, "pid": os.getpid()}) + "\n")
    print(f"trial {trial.number} begins", flush=True)
    for step in range(begin + 1, begin + 3000):
        scratch = state.with_suffix(".new")
        scratch.write_text(json.dumps(step))
        scratch.replace(state)
        trial.report({"loss": config["x"]}, step=step)
        if may_pass(gate, trial.number):
            time.sleep(config.get("nap", 0))
            break
        time.sleep(0.02)
    return {"loss": config["x"]}


def fail(config: dict[str, Any], trial: hpo.Trial) -> dict[str, float]:
    raise ValueError("a bad day")
