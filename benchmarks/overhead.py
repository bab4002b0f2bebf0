"""What a trial costs beside its training: 100 trials x 5 reports of a trainable that does nothing.

Ours: Ray Tune workers, the record on disk, MLflow on SQLite, all published at the end.
Stock: Ray Tune with OptunaSearch (TPE), MLflowLoggerCallback on SQLite and reuse_actors=True.
Both on one local Ray that is started (and timed) beforehand; the order alternates.

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
from importlib.metadata import version
from pathlib import Path

from hpo.execute import ray_tune  # sets what Ray must know before it is imported  # noqa: F401

import ray
from ray import tune
from rich.console import Console
from rich.table import Table

from hpo.home import Home
from hpo.study import run

REPORTS = 5
WORKERS = 2

TRAINABLE = """
def train(config, trial):
    for step in range(1, {reports} + 1):
        trial.report({{"loss": config["x"] ** 2}}, step=step)
"""


def ours(trials: int, folder: Path) -> float:
    """Wall seconds of a whole run."""
    (folder / "nothing.py").write_text(TRAINABLE.format(reports=REPORTS))
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
    start = time.perf_counter()
    result = run(path, home=Home(folder / "home"))
    seconds = time.perf_counter() - start
    assert result.done and len(result.trials) == trials and result.trouble is None
    return seconds


def stock(trials: int, folder: Path) -> float:
    """Wall seconds of the same with the parts as their documentation puts them together."""
    from ray.air.integrations.mlflow import MLflowLoggerCallback
    from ray.tune.search.optuna import OptunaSearch

    def train(config: dict[str, float]) -> None:
        for _ in range(REPORTS):
            tune.report({"loss": config["x"] ** 2})

    uri = f"sqlite:///{folder / 'mlflow.db'}"
    start = time.perf_counter()
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
    seconds = time.perf_counter() - start
    assert len(grid) == trials and not grid.errors
    return seconds


def quietly(measure: object, trials: int) -> float:
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        return measure(trials, Path(folder))  # type: ignore[operator]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "0"  # stock is stock
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
    for measure in (ours, stock):  # imports, tables of the first store
        quietly(measure, WORKERS)
    seconds: dict[str, list[float]] = {"hpo": [], "stock": []}
    for repeat in range(arguments.repeats):
        pair = [("hpo", ours), ("stock", stock)]
        for name, measure in pair if repeat % 2 == 0 else reversed(pair):
            seconds[name].append(quietly(measure, arguments.trials) / arguments.trials)
    ray.shutdown()

    versions = ", ".join(f"{name} {version(name)}" for name in ("ray", "optuna", "mlflow"))
    table = Table(title=f"{arguments.trials} trials x {REPORTS} reports, {WORKERS} workers")
    for column in ("", "ms a trial (median)", "lowest", "highest"):
        table.add_column(column, justify="right")
    for name, each in seconds.items():
        table.add_row(name, *(f"{1e3 * f(each):.1f}" for f in (statistics.median, min, max)))
    console = Console(width=100)
    console.print(table)
    ratio = statistics.median(seconds["stock"]) / statistics.median(seconds["hpo"])
    console.print(f"stock / hpo: {ratio:.1f}   (n = {arguments.repeats}; Ray's start: "
                  f"{ray_seconds:.1f} s, apart)")
    console.print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} CPUs, "
                  f"Python {platform.python_version()}, {versions}")


if __name__ == "__main__":
    main()
