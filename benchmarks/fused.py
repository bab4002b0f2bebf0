"""Many trials as one tensor program, beside the same net trained by stock torch.

An epoch is a pass over the training split and an evaluation on the validation split, on either
side. Stock is what a PyTorch user writes: nn.Module, loss.backward(), torch.optim and a scheduler,
with the data on the device beforehand. On a GPU it is also run by 8 processes that share it.

Needs only torch, numpy, pydantic and safetensors.
Run: python benchmarks/fused.py --device cpu|cuda [--lanes 1 8 32 128] [--seconds 5]
"""

from __future__ import annotations

import argparse
import math
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from hpo.records import Decision, TrialSpec
from hpo.train.config import TrainConfig
from hpo.train.drivers import fused, single
from hpo.train.precision import arithmetic
from hpo.train.problem import assemble
from hpo.trainable import Member, Pack, Progressed, Trial

BATCH, CLASSES, EPOCHS, LONGEST = 64, 10, 1000, 40
SHARED = 8  # stock processes on one GPU


@dataclass(frozen=True)
class Case:
    """A net, and data of the shape of a real set: what is in them does not matter for speed."""

    name: str
    rows: int
    inputs: tuple[int, ...]
    model: dict[str, Any]

    def config(self, folder: Path, **changes: Any) -> TrainConfig:
        return TrainConfig.model_validate(
            {
                "data": {"kind": "npz", "path": str(self.data(folder)), "task": "classification"},
                "model": self.model,
                "epochs": EPOCHS,
                "batch_lr": {"batch_size": BATCH, "base_lr": 0.01},
                "optimizer": {"kind": "sgd", "momentum": 0.9},
                "checkpoint_seconds": 1e6,
                **changes,
            }
        )

    def data(self, folder: Path) -> Path:
        path = folder / f"{len(self.inputs)}.npz"
        if not path.exists():
            rng = np.random.default_rng(0)
            x = rng.normal(size=(self.rows, *self.inputs)).astype(np.float32)
            np.savez(path, x=x, y=np.arange(self.rows) % CLASSES)
        return path


CASES = {
    "mlp": Case(
        "MLP 40-128-128-10, 5000 rows as mnist1d",
        5000,
        (40,),
        {"kind": "mlp", "widths": [128, 128]},
    ),
    "cnn": Case(
        "CNN 1x28x28, 16-32 channels, 10000 rows as mnist10k",
        10000,
        (1, 28, 28),
        {"kind": "cnn", "channels": [16, 32]},
    ),
}


class Endless(Pack):
    """A pack whose members all go on."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = members
        self.width = len(members)

    def report(self, progressed: Sequence[Progressed]) -> list[Decision]:
        return [Decision.GO_ON] * len(progressed)

    def end(self, trial: Trial, result: Mapping[str, float] | None = None) -> None:
        raise AssertionError("nothing is to end here")

    def fail(self, trial: Trial, error: Exception) -> None:
        raise error

    def more(self, room: int) -> Sequence[Member]:
        return []


def built_in(config: TrainConfig, lanes: int, folder: Path) -> Callable[[], None]:
    """A function that trains so many lanes for an epoch, with all that a study does but saving.

    One lane is a trial alone, which on a CPU has a driver of its own.
    """
    problem = assemble(config, folder)
    if lanes == 1 and problem.device.type == "cpu":
        alone = single.Training(problem, seed=0)
        progress = alone.start()

        def one() -> None:
            nonlocal progress
            progress = alone.epoch(progress)

        return one
    members = []
    for k in range(lanes):
        spec = TrialSpec(k, {}, k, "lease")
        trial = Trial(spec, folder, folder / f"{lanes}-{k}", lambda report: Decision.GO_ON)
        members.append(Member(config, trial))
    training = fused.Training(problem, Endless(members))
    training.join(members)
    return training.epoch


def stock(case: Case, config: TrainConfig, folder: Path) -> Callable[[], None]:
    """The same in stock torch, one trial."""
    problem = assemble(config, folder)
    train = problem.rows(problem.splits.train)
    validation = problem.rows(problem.splits.validation)
    net = _module(case).to(problem.device)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0025, momentum=0.9)
    steps = EPOCHS * math.ceil(len(train.x) / BATCH)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    loss_function = nn.CrossEntropyLoss()

    def epoch() -> None:
        net.train()
        order = torch.randperm(len(train.x), device=problem.device)
        total = torch.zeros((), device=problem.device)
        for index in torch.split(order, BATCH):
            optimizer.zero_grad()
            loss = loss_function(net(train.x[index]), train.y[index])
            loss.backward()
            optimizer.step()
            scheduler.step()
            total += loss.detach() * len(index)
        net.eval()
        with torch.no_grad():
            outputs = net(validation.x)
            loss_function(outputs, validation.y).item()
            (outputs.argmax(1) != validation.y).double().mean().item()
        total.item()

    return epoch


def _module(case: Case) -> nn.Module:
    layers: list[nn.Module] = []
    if case.model["kind"] == "mlp":
        size = case.inputs[0]
        for width in case.model["widths"]:
            layers += [nn.Linear(size, width), nn.ReLU()]
            size = width
        return nn.Sequential(*layers, nn.Linear(size, CLASSES))
    planes, height, width = case.inputs
    for channels in case.model["channels"]:
        layers += [nn.Conv2d(planes, channels, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        planes, height, width = channels, height // 2, width // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(planes * height * width, CLASSES))


def measure(
    ours: Callable[[], None], theirs: Callable[[], None], seconds: float
) -> tuple[float, list[float], list[float]]:
    """Seconds of our first epoch (the warm-up), and of the epochs of both sides that follow.

    The sides take turns, so that a change in the machine's speed hits both alike.
    """
    warm = _timed(ours)
    _timed(theirs)
    began, times, others = time.perf_counter(), [], []
    while len(times) < 3 or (time.perf_counter() - began < seconds and len(times) < LONGEST):
        times.append(_timed(ours))
        others.append(_timed(theirs))
    return warm, times, others


def _timed(epoch: Callable[[], None]) -> float:
    start = time.perf_counter()
    epoch()
    return time.perf_counter() - start


def shared(case: str, folder: Path, seconds: float) -> float:
    """Epochs per second of several stock processes on one GPU, all together."""
    start = time.time() + 25  # by then all are warm
    command = [
        sys.executable, __file__, "--device", "cuda", "--cases", case, "--seconds", f"{seconds}",
        "--part", str(folder), "--start", f"{start}",
    ]  # fmt: skip
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(SHARED)
    ]
    return sum(float(process.communicate()[0]) for process in processes)


def part(case: Case, folder: Path, start: float, seconds: float) -> None:
    """One of them: prints its epochs per second between two moments."""
    epoch = stock(case, case.config(folder), folder)
    epoch()
    if time.time() > start:
        raise SystemExit("not warm in time")
    time.sleep(start - time.time())
    count = 0
    while time.time() < start + seconds:
        epoch()
        count += 1
    print(count / (time.time() - start))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--cases", nargs="+", choices=tuple(CASES))
    parser.add_argument("--lanes", nargs="+", type=int)
    parser.add_argument("--precision", nargs="+", default=["float32"])
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement, at most")
    parser.add_argument("--compile", action="store_true", help="also with torch.compile")
    parser.add_argument("--graphs", action="store_true", help="also as CUDA graphs")
    parser.add_argument("--part", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--start", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    cuda = arguments.device == "cuda"
    cases = arguments.cases or (["mlp", "cnn"] if cuda else ["mlp"])
    torch.set_num_threads(1)
    if arguments.part:
        part(CASES[cases[0]], arguments.part, arguments.start, arguments.seconds)
        return
    where = torch.cuda.get_device_name() if cuda else f"{_processor()}, 1 thread"
    print(f"{where}; Python {platform.python_version()}, torch {torch.__version__}; batch {BATCH}")
    print(f"lanes x epochs per second: median [quartiles] of n epochs; at most {LONGEST} epochs or")
    print(f"{arguments.seconds:g} s each; warm-up: the first epoch, not counted; stock in turns")
    with tempfile.TemporaryDirectory() as scratch:
        for name in cases:
            table(name, Path(scratch), arguments)


def table(name: str, folder: Path, arguments: argparse.Namespace) -> None:
    case, cuda = CASES[name], arguments.device == "cuda"
    header = (
        f"{'':30} {'lanes x epochs/s':>24} {'stock':>22} {'ratio':>6} {'n':>4} {'warm-up s':>9}"
    )
    print(f"\n{case.name}\n{header}" + f" {'MiB/lane':>9} {'busy %':>7}" * cuda, flush=True)
    ways: list[dict[str, Any]] = [{"precision": precision} for precision in arguments.precision]
    ways += [{"compile": True}] * arguments.compile
    ways += [{"cuda_graphs": True}] * arguments.graphs
    plain = case.config(folder, device=arguments.device)
    theirs = stock(case, plain, folder)
    for way in ways:
        label = ", ".join(f"{key} {value}" for key, value in way.items())
        config = case.config(folder, device=arguments.device, **way)
        for lanes in arguments.lanes or ([1, 8, 32, 128, 512] if cuda else [1, 8, 32, 128]):
            with arithmetic(config.precision):
                print(f"{f'{label}, K = {lanes}':30} ", end="", flush=True)
                print(row(config, lanes, theirs, folder, arguments.seconds), flush=True)
    if cuda:
        alone = statistics.median(measure(theirs, theirs, arguments.seconds)[1])
        together = shared(name, folder, arguments.seconds)
        print(f"{f'stock, {SHARED} processes':30} {together:24.1f} {1 / alone:22.1f} ", end="")
        print(f"{together * alone:6.2f}", flush=True)


def row(
    config: TrainConfig, lanes: int, theirs: Callable[[], None], folder: Path, seconds: float
) -> str:
    """What so many lanes come to, beside stock."""
    cuda = config.device == "cuda"
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    try:
        ours = built_in(config, lanes, folder)
        warm, times, others = measure(ours, theirs, seconds)
    except torch.OutOfMemoryError:
        return "out of memory"
    ratio = statistics.median(others) / statistics.median(times) * lanes
    line = f"{_spread(lanes, times):>24} {_spread(1, others):>22} {ratio:6.2f} {len(times):4}"
    line += f" {warm:9.1f}"
    if cuda:
        memory = (torch.cuda.max_memory_allocated() - before) / lanes / 2**20
        line += f" {memory:9.1f} {_busy(ours):7.0f}"
    return line


def _spread(lanes: int, times: list[float]) -> str:
    low, median, high = statistics.quantiles([lanes / each for each in times], n=4)
    return f"{median:.1f} [{low:.1f}, {high:.1f}]"


def _busy(epoch: Callable[[], None]) -> float:
    """The share of time in which a kernel runs, in percent, as the driver samples it."""
    used = []
    for _ in range(3):
        epoch()
        used.append(torch.cuda.utilization())
    return statistics.median(used)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
