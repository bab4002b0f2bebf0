"""How long `hpo submit` takes as a whole process, on a service of its own.

python benchmarks/submit.py [--repeats 10]

The studies wait in the queue: the one slot of the service is taken by the first of them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HPO = [sys.executable, "-c", "from hpo.cli import main; main()"]

TRAIN = """
import time


def train(config, trial):
    for step in range(1, 10**6):
        time.sleep(0.1)
        trial.report({"loss": config["x"]}, step=step)
"""


def write(folder: Path, name: str) -> Path:
    study = {
        "name": name,
        "trainable": "mine:train",
        "space": {"x": {"low": 0.0, "high": 1.0}},
        "objective": {"metric": "loss"},
        "search": {"sampler": "random", "trials": 10},
    }
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps(study))
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=10)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory(prefix="hpo-submit-") as scratch:
        folder = Path(scratch) / "mine"
        folder.mkdir()
        (folder / "mine.py").write_text(TRAIN)
        environment = {**os.environ, "HPO_HOME": str(Path(scratch) / "home")}

        def hpo(*arguments: object) -> float:
            start = time.perf_counter()
            subprocess.run(
                [*HPO, *map(str, arguments)],
                env=environment,
                check=True,
                stdout=subprocess.DEVNULL,
            )
            return time.perf_counter() - start

        hpo("up", "--studies", 1)
        try:
            first, *warm = [hpo("submit", write(folder, f"s{n}")) for n in range(repeats + 1)]
        finally:
            hpo("down")
    print(
        f"hpo submit: median {statistics.median(warm):.2f} s,"
        f" lowest {min(warm):.2f} s, highest {max(warm):.2f} s"
        f" (n = {repeats}; the first, while its driver starts, {first:.2f} s)"
    )
    print(f"{os.cpu_count()} CPUs, Python {platform.python_version()}")


if __name__ == "__main__":
    main()
