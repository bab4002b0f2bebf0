"""What a trial costs beside its training: 100 trials x 5 reports of a trainable that does nothing.

Ours: Ray Tune workers, the record on disk, MLflow on SQLite, all published at the end, the report
with its plots written. Stock: Ray Tune with OptunaSearch (TPE), MLflowLoggerCallback on SQLite and
reuse_actors=True. Both on one local Ray that is started (and timed) beforehand; the order
alternates. The time until the first trial starts (processes and their imports) is told apart.

    python benchmarks/overhead.py [--trials 100] [--repeats 3]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import ray
from ray import tune
from rich.console import Console
from rich.table import Table

from hpo.execute import ray_tune  # sets what Ray must know before it is imported  # noqa: F401
from hpo.home import Home
from hpo.study import run

REPORTS = 5
WORKERS = 2

TRAINABLE = """
import time, pathlib

def train(config, trial):
    if trial.number == 0:
        pathlib.Path({first!r}).write_text(str(time.time()))
    for step in range(1, {reports} + 1):
        trial.report({{"loss": config["x"] ** 2}}, step=step)
"""


@dataclass(frozen=True)
class Seconds:
    """Wall seconds until the first trial started, and from there to the end."""

    start: float
    trials: float


def since(start: float, first: Path) -> Seconds:
    started = min(float(path.read_text()) for path in first.parent.glob(first.name + "*"))
    return Seconds(started - start, time.time() - started)


def ours(trials: int, folder: Path) -> Seconds:
    first = folder / "first"
    (folder / "nothing.py").write_text(TRAINABLE.format(reports=REPORTS, first=str(first)))
    study = {
        "name": "nothing",
        "trainable": "nothing:train",
        "space": {"x": {"low": 0.0, "high": 1.0}},
        "objective": {"metric": "loss"},
        "search": {"sampler": "tpe", "trials": trials},
        "resources": {"workers": WORKERS},
    }
    path = folder / "nothing.yaml"
    path.write_text(json.dumps(study))
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"  # as hpo itself sets it
    start = time.time()
    result = run(path, home=Home(folder / "home"))
    seconds = since(start, first)
    assert result.done and len(result.trials) == trials and result.trouble is None
    return seconds


def stock(trials: int, folder: Path) -> Seconds:
    """The same with the parts as their documentation puts them together."""
    from ray.air.integrations.mlflow import MLflowLoggerCallback
    from ray.tune.search.optuna import OptunaSearch

    first = folder / "first"

    def train(config: dict[str, float]) -> None:
        mine = first.with_name(f"first-{os.getpid()}")
        if not mine.exists():
            mine.write_text(str(time.time()))
        for _ in range(REPORTS):
            tune.report({"loss": config["x"] ** 2})

    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "0"  # stock is stock
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    start = time.time()
    grid = tune.Tuner(
        tune.with_resources(train, {"cpu": 1}),
        param_space={"x": tune.uniform(0.0, 1.0)},
        tune_config=tune.TuneConfig(
            metric="loss",
            mode="min",
            search_alg=OptunaSearch(),
            num_samples=trials,
            max_concurrent_trials=WORKERS,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            storage_path=str(folder),
            name="stock",
            verbose=0,
            callbacks=[MLflowLoggerCallback(tracking_uri=uri, experiment_name="stock")],
        ),
    ).fit()
    seconds = since(start, first)
    assert len(grid) == trials and not grid.errors
    return seconds


def quietly(measure: Callable[[int, Path], Seconds], trials: int) -> Seconds:
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        return measure(trials, Path(folder))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    start = time.perf_counter()
    ray.init(
        address="local",
        num_cpus=WORKERS,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        namespace="hpo",
    )
    ray_seconds = time.perf_counter() - start
    for measure in (ours, stock):  # imports of this process, plots included
        quietly(measure, 12)
    seconds: dict[str, list[Seconds]] = {"hpo": [], "stock": []}
    for repeat in range(arguments.repeats):
        pair = [("hpo", ours), ("stock", stock)]
        for name, measure in pair if repeat % 2 == 0 else reversed(pair):
            seconds[name].append(quietly(measure, arguments.trials))
    ray.shutdown()

    versions = ", ".join(f"{name} {version(name)}" for name in ("ray", "optuna", "mlflow"))
    table = Table(title=f"{arguments.trials} trials x {REPORTS} reports, {WORKERS} workers")
    for column in ("", "ms a trial", "lowest", "highest", "s to first trial", "s in all"):
        table.add_column(column, justify="right")
    each = {n: [1e3 * s.trials / arguments.trials for s in runs] for n, runs in seconds.items()}
    for name, runs in seconds.items():
        table.add_row(
            name,
            *(f"{f(each[name]):.1f}" for f in (statistics.median, min, max)),
            f"{statistics.median(s.start for s in runs):.1f}",
            f"{statistics.median(s.start + s.trials for s in runs):.1f}",
        )
    console = Console(width=100)
    console.print(table)
    ratio = statistics.median(each["stock"]) / statistics.median(each["hpo"])
    console.print(f"stock / hpo: {ratio:.1f} (medians, n = {arguments.repeats})")
    console.print(f"Ray's own start, apart from all this: {ray_seconds:.1f} s")
    console.print(f"{hardware()}, Python {platform.python_version()}, {versions}")


def hardware() -> str:
    models = [s for s in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in s]
    return f"{models[0].partition(': ')[2]}, {os.cpu_count()} CPUs"


if __name__ == "__main__":
    main()
