"""A trainable that writes down where it runs, and goes on from its checkpoint."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path


def train(config, trial):
    import ray

    state = trial.checkpoint_dir / "state.json"
    done = json.loads(state.read_text())["step"] if state.exists() else 0
    shipped = (trial.folder / "beside.txt").read_text().strip()
    note = {
        "number": trial.number,
        "from": done,
        "node": ray.get_runtime_context().get_node_id(),
        "home": os.environ.get("HPO_HOME"),
        "shipped": shipped,
        "checkpoint": str(trial.checkpoint_dir),
        "pid": os.getpid(),
    }
    with Path(config["log"]).open("a") as log:
        log.write(json.dumps(note) + "\n")
    print(f"trial {trial.number} begins at {done}", flush=True)
    for step in range(done + 1, config["steps"] + 1):
        time.sleep(config["nap"])
        state.write_text(json.dumps({"step": step}))
        trial.report({"loss": config["x"] + 1 / step}, step=step)
    return {"loss": config["x"]}
