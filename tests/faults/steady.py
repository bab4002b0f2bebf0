"""The trainable of the fault matrix: deterministic, slow on request; it keeps a diary."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

import hpo

STEPS = 5


class Config(BaseModel):
    x: float = Field(ge=0, le=1)
    nap: float = 0.0
    log: Path


def loss(x: float, seed: int, step: int) -> float:
    return (x - 0.3) ** 2 + 1 / step + seed % 1000 / 1e6


def train(config: Config, trial: hpo.Trial) -> None:
    """Falls towards (x - 0.3)^2 in five steps, and goes on from its checkpoint."""
    state = trial.checkpoint_dir / "state.json"
    done = json.loads(state.read_text())["step"] if state.exists() else 0
    note(config.log, "start", trial.number, done)
    for step in range(done + 1, STEPS + 1):
        time.sleep(config.nap)
        scratch = state.with_suffix(".new")
        scratch.write_text(json.dumps({"step": step}))
        scratch.replace(state)
        trial.report({"loss": loss(config.x, trial.seed, step)}, step=step)
    if done == STEPS:  # cut off after its last report: said again, and known to be the same
        trial.report({"loss": loss(config.x, trial.seed, STEPS)}, step=STEPS)
    note(config.log, "end", trial.number, STEPS)


def note(log: Path, event: str, number: int, step: int) -> None:
    """One line, written at once. Of the clocks, this one is the same in every process."""
    entry = {"event": event, "number": number, "step": step, "pid": os.getpid()}
    with log.open("a") as file:
        file.write(json.dumps({**entry, "at": time.monotonic()}) + "\n")


def notes(log: Path) -> list[dict[str, Any]]:
    """What was written down so far; a line that is being written is not."""
    text = log.read_text() if log.exists() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
