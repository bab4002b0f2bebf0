"""Trainables for tests: cheap, deterministic, and misbehaving on request."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field

import hpo

STEPS = 5

Mode = Literal[
    "good", "raise", "exit", "unsayable", "nan", "late_nan", "swallow", "silent", "text", "oom",
    "torch_oom", "die", "elsewhere",
]  # fmt: skip


class Unsayable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


class Config(BaseModel):
    x: float = Field(0.5, ge=0, le=1)
    mode: Mode = "good"
    nap: float = 0.0
    log: str = ""


def train(config: Config, trial: hpo.Trial) -> dict[str, float] | None:
    """Falls towards (x - 0.3)^2 in five steps, and goes on from its checkpoint."""
    state = trial.checkpoint_dir / "state.json"
    done = json.loads(state.read_text())["step"] if state.exists() else 0
    if config.log:
        with Path(config.log).open("a") as log:
            log.write(json.dumps({"number": trial.number, "from": done, "pid": os.getpid()}) + "\n")
    match config.mode:
        case "raise":
            raise ValueError("a bad day")
        case "exit":
            sys.exit(0)
        case "unsayable":
            raise Unsayable
        case "swallow":
            for value in (1.0, float("nan"), 0.5):
                with contextlib.suppress(BaseException):
                    trial.report({"loss": value}, step=1)
            return {"loss": 0.0}
        case "torch_oom":
            import torch

            torch.empty(10**15)
        case "silent":
            return None
        case "oom":
            raise MemoryError("no room")
        case "die":
            os._exit(1)
        case "elsewhere":
            return {"accuracy": 1.0}
        case "nan":
            return {"loss": float("nan")}
        case "text":
            return {"loss": "low"}  # type: ignore[dict-item]
    for step in range(done + 1, STEPS + 1):
        time.sleep(config.nap)
        value = (config.x - 0.3) ** 2 + 1 / step
        if config.mode == "late_nan" and step == 3:
            value = float("inf")
        scratch = state.with_suffix(".new")
        scratch.write_text(json.dumps({"step": step}))
        scratch.replace(state)
        trial.report({"loss": value}, step=step)
    return {"loss": (config.x - 0.3) ** 2}


def environment(config: dict[str, object], trial: hpo.Trial) -> dict[str, float]:
    """Writes down what a worker sees of the machine."""
    import torch

    seen = {
        "pid": os.getpid(),
        "gpus": os.environ.get("CUDA_VISIBLE_DEVICES", ""),
        "omp": os.environ.get("OMP_NUM_THREADS", ""),
        "torch": torch.get_num_threads(),
    }
    with Path(str(config["log"])).open("a") as log:
        log.write(json.dumps(seen) + "\n")
    time.sleep(float(str(config["nap"])))
    return {"loss": 0.0}


def eat(config: dict[str, int], trial: hpo.Trial) -> dict[str, float]:
    """Takes memory bit by bit, and holds it."""
    held = [bytearray(b"x") * 2**24 for _ in range(config["bytes"] // 2**24)]
    time.sleep(1)
    return {"loss": float(len(held))}


def lines(log: Path) -> list[dict[str, Any]]:
    """What toys wrote down."""
    return [json.loads(line) for line in log.read_text().splitlines()]


@hpo.deterministic
def constant(config: Config, trial: hpo.Trial) -> dict[str, float]:
    return {"loss": config.x}
