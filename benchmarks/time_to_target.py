"""How long a search takes: 60 trials of an MLP on MNIST-1D, up to 20 epochs each, on two cores.

Ours: the space of studies/mnist1d.yaml with ASHA and TPE, trials in packs and then each alone, the
record on disk, everything published to MLflow on SQLite, the report with its plots, the bundle.
Stock: Ray Tune with OptunaSearch (TPE), ASHAScheduler, MLflowLoggerCallback on SQLite and
reuse_actors=True; two trials at a time, the same net in plain torch, on the same rows of the same
split. Its decay is in the gradient, as torch's SGD has it. All use one local Ray, which is started
(and timed) beforehand; the order alternates.

The target is a validation error that stock reaches in every repeat: the worst of its best ones.

    python benchmarks/time_to_target.py [DATA.npz] [--trials 60] [--repeats 3] [--quick]

DATA has x_train, y_train, x_test and y_test, as studies/mnist1d.yaml says; without such a file the
rows are random, and only the times mean anything.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import math
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray import tune
from rich.console import Console
from rich.table import Table

from hpo import metric_log, studyfile
from hpo.execute import ray_tune  # sets what Ray must know before it is imported  # noqa: F401
from hpo.home import Home
from hpo.study import run
from hpo.train.config import TrainConfig
from hpo.train.data import load

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data" / "mnist1d.npz"
WORKERS, CLASSES, WIDTHS = 2, 10, (128, 128)


@dataclass(frozen=True)
class Task:
    """What is searched.

    Args:
        data: the file that ours reads.
        rows: the same training and validation rows, scaled, for stock.
    """

    data: Path
    rows: Path
    trials: int
    epochs: int


@dataclass(frozen=True)
class Run:
    """A search that is over.

    Args:
        seconds: from its start to its end.
        errors: the validation error of every epoch, with the seconds from the start to its report.
    """

    seconds: float
    errors: Sequence[tuple[float, float]]

    @property
    def best(self) -> float:
        return min(error for _, error in self.errors)

    @property
    def first(self) -> float:
        """Seconds until an epoch was reported."""
        return min(at for at, _ in self.errors)

    @property
    def after(self) -> float:
        """Seconds from the last report on."""
        return self.seconds - max(at for at, _ in self.errors)

    def until(self, target: float) -> float:
        """Seconds until an error was no larger; infinite if none was."""
        return min((at for at, error in self.errors if error <= target), default=math.inf)


def ours(task: Task, folder: Path, seed: int, pack: str) -> Run:
    study = studyfile.load(ROOT / "studies" / "mnist1d.yaml").file.model_dump(mode="json")
    study["space"]["data"]["path"] = str(task.data)
    study["space"]["epochs"] = task.epochs
    study["search"] |= {"trials": task.trials, "seed": seed}
    study["resources"] |= {"workers": WORKERS, "pack": pack}
    path = folder / "mnist1d.yaml"
    path.write_text(json.dumps({**study, "final": None}))
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"  # as hpo itself sets it
    home = Home(folder / "home")
    start = time.time()
    result = run(path, home=home)
    seconds = time.time() - start
    assert result.done and len(result.trials) == task.trials and result.trouble is None
    kept = home.study("mnist1d")
    reports = [each for t in result.trials for each in metric_log.read(kept.metrics(t.number))]
    return Run(seconds, [(each.time - start, each.metrics["val_error"]) for each in reports])


def stock(task: Task, folder: Path, seed: int) -> Run:
    """The same with the parts as their documentation puts them together."""
    from ray.air.integrations.mlflow import MLflowLoggerCallback
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "0"  # stock is stock
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    start = time.time()
    grid = tune.Tuner(
        tune.with_resources(
            tune.with_parameters(train, rows=str(task.rows), epochs=task.epochs), {"cpu": 1}
        ),
        param_space={
            "batch_size": tune.choice([32, 64, 128]),
            "base_lr": tune.loguniform(1e-2, 3.0),
            "warmup": tune.uniform(0.0, 0.2),
            "weight_decay": tune.loguniform(1e-5, 1e-2),
            "dropout": tune.uniform(0.0, 0.4),
            "label_smoothing": tune.uniform(0.0, 0.2),
            "gain": tune.loguniform(0.5, 2.0),
        },
        tune_config=tune.TuneConfig(
            metric="val_error",
            mode="min",
            search_alg=OptunaSearch(seed=seed),
            scheduler=ASHAScheduler(max_t=task.epochs, grace_period=2, reduction_factor=3),
            num_samples=task.trials,
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
    seconds = time.time() - start
    assert len(grid) == task.trials and not grid.errors
    frames = [result.metrics_dataframe for result in grid]
    return Run(
        seconds,
        [
            (at - start, error)
            for frame in frames
            for at, error in zip(frame["at"], frame["val_error"], strict=True)
        ],
    )


def train(config: dict[str, Any], rows: str, epochs: int) -> None:
    """One trial in plain torch."""
    import torch
    from torch import nn

    torch.set_num_threads(1)
    with np.load(rows) as arrays:
        x, y, x_val, y_val = (torch.from_numpy(arrays[name]) for name in ("x", "y", "u", "v"))
    layers: list[nn.Module] = []
    for inputs, outputs in zip((x.shape[1], *WIDTHS), WIDTHS, strict=False):
        layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(config["dropout"])]
    net = nn.Sequential(*layers, nn.Linear(WIDTHS[-1], CLASSES))
    for layer in net:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
            layer.weight.data *= config["gain"]

    batch = config["batch_size"]
    rate = config["base_lr"] * batch / 256
    optimizer = torch.optim.SGD(
        net.parameters(), rate, momentum=0.9, weight_decay=config["weight_decay"]
    )
    steps = epochs * math.ceil(len(x) / batch)
    warm = round(config["warmup"] * steps)

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return (1 + math.cos(math.pi * (step - warm) / max(steps - warm, 1))) / 2

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    smoothed = nn.CrossEntropyLoss(label_smoothing=config["label_smoothing"])
    for _ in range(epochs):
        net.train()
        total = torch.zeros(())
        for index in torch.split(torch.randperm(len(x)), batch):
            optimizer.zero_grad()
            loss = smoothed(net(x[index]), y[index])
            loss.backward()
            optimizer.step()
            scheduler.step()
            total += loss.detach() * len(index)
        net.eval()
        with torch.no_grad():
            scores = net(x_val)
        tune.report(
            {
                "train_loss": total.item() / len(x),
                "val_loss": nn.functional.cross_entropy(scores, y_val).item(),
                "val_error": (scores.argmax(1) != y_val).double().mean().item(),
                "at": time.time(),
            }
        )


SIDES: dict[str, Callable[[Task, Path, int], Run]] = {
    "hpo, packs": lambda task, folder, seed: ours(task, folder, seed, "auto"),
    "hpo, alone": lambda task, folder, seed: ours(task, folder, seed, "off"),
    "stock": stock,
}


def quietly(side: str, task: Task, seed: int) -> Run:
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        return SIDES[side](task, Path(folder), seed)


@contextlib.contextmanager
def cluster() -> Iterator[float]:
    """Ray, and the seconds that its start took."""
    start = time.perf_counter()
    ray.init(
        address="local",
        num_cpus=WORKERS,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        namespace="hpo",
    )
    yield time.perf_counter() - start
    ray.shutdown()


def prepared(given: Path | None, folder: Path, trials: int, epochs: int) -> Task:
    data = given or folder / "random.npz"
    if given is None:
        rng, arrays = np.random.default_rng(0), {}
        for split, rows in (("train", 4000), ("test", 1000)):
            x = rng.normal(size=(rows, 40)).astype(np.float32)
            arrays |= {f"x_{split}": x, f"y_{split}": np.arange(rows) % CLASSES}
        np.savez(data, **arrays)
    names = {"x": "x_train", "y": "y_train", "x_test": "x_test", "y_test": "y_test"}
    config = TrainConfig.model_validate(
        {"data": {"kind": "npz", "path": str(data), **names}, "model": {"kind": "mlp"}}
    )
    splits = load(config.data, folder)
    train, validation = splits.train, splits.validation
    x, u = train.x.astype(np.float32), validation.x.astype(np.float32)
    np.savez(folder / "rows.npz", x=x, y=train.y, u=u, v=validation.y)
    return Task(data, folder / "rows.npz", trials, epochs)


def spread(values: Sequence[float], digits: int) -> str:
    """Median, lowest and highest; those that are infinite were never reached."""
    reached = [value for value in values if math.isfinite(value)]
    if not reached:
        return "never"
    figures = [f"{f(reached):.{digits}f}" for f in (statistics.median, min, max)]
    text = f"{figures[0]} ({figures[1]} to {figures[2]})"
    return text if len(reached) == len(values) else f"{text}, {len(reached)} of {len(values)}"


def show(runs: dict[str, list[Run]], task: Task, repeats: int) -> None:
    target = max(each.best for each in runs["stock"])
    table = Table(
        title=f"{task.trials} trials, up to {task.epochs} epochs each, {WORKERS} workers; median"
        f" (lowest to highest), n = {repeats}; target: val_error {target:.4f}"
    )
    for column in ("", "s in all", "s to target", "s to 1st report", "s after last"):
        table.add_column(column, justify="right")
    table.add_column("best val_error", justify="right")
    table.add_column("epochs", justify="right")
    for side, own in runs.items():
        table.add_row(
            side,
            spread([each.seconds for each in own], 1),
            spread([each.until(target) for each in own], 1),
            spread([each.first for each in own], 1),
            spread([each.after for each in own], 1),
            spread([each.best for each in own], 4),
            spread([len(each.errors) for each in own], 0),
        )
    console = Console(width=160)
    console.print(table)
    stock_seconds = statistics.median(each.seconds for each in runs["stock"])
    for side in (side for side in runs if side != "stock"):
        ratio = stock_seconds / statistics.median(each.seconds for each in runs[side])
        console.print(f"stock / {side}: {ratio:.1f} in all (medians, n = {repeats})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", type=Path, help=f"default: {SHARED}, if it is there")
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a few trials, to see that it runs")
    arguments = parser.parse_args()
    data = arguments.data or (SHARED if SHARED.exists() else None)
    trials, epochs, repeats = arguments.trials, arguments.epochs, arguments.repeats
    if arguments.quick:
        trials, epochs, repeats = 4, 2, 1
    logging.disable(logging.WARNING)
    runs: dict[str, list[Run]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as folder, cluster() as ray_seconds:
        task = prepared(data and data.absolute(), Path(folder), trials, epochs)
        if not arguments.quick:
            for side in SIDES:  # imports of this process, plots included
                quietly(side, prepared(task.data, Path(folder), 8, 2), 0)
        for repeat in range(repeats):
            for side in list(SIDES) if repeat % 2 == 0 else reversed(SIDES):
                runs[side].append(quietly(side, task, repeat))
    show(runs, task, repeats)
    versions = ", ".join(f"{name} {version(name)}" for name in ("ray", "optuna", "mlflow", "torch"))
    print(f"data: {data or 'random numbers of the same shape'}")
    print(f"Ray's own start, apart from all this: {ray_seconds:.1f} s")
    print(f"{hardware()}, Python {platform.python_version()}, {versions}")


def hardware() -> str:
    models = [s for s in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in s]
    return f"{models[0].partition(': ')[2]}, {os.cpu_count()} CPUs"


if __name__ == "__main__":
    main()
