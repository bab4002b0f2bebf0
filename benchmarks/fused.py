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
from hpo.train.drivers import fused
from hpo.train.precision import arithmetic
from hpo.train.problem import assemble
from hpo.trainable import Member, Pack, Progressed, Trial

BATCH, CLASSES, EPOCHS, LONGEST = 64, 10, 200, 40
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

    def more(self, room: int) -> Sequence[Member]:
        return []


def packed(config: TrainConfig, lanes: int, folder: Path) -> Callable[[], None]:
    """A function that trains so many lanes for an epoch, with all that a study does but saving."""
    members = []
    for k in range(lanes):
        spec = TrialSpec(k, {}, k, "lease")
        trial = Trial(spec, folder, folder / f"{lanes}-{k}", lambda report: Decision.GO_ON)
        members.append(Member(config, trial))
    training = fused.Training(assemble(config, folder), Endless(members))
    training.join(members)

    def epoch() -> None:
        if training.trials[0].epoch == EPOCHS - 1:
            raise SystemExit("more epochs than planned: lower --seconds")
        training.epoch()

    return epoch


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


def measure(epoch: Callable[[], None], seconds: float) -> tuple[float, list[float]]:
    """Seconds of the first epoch (the warm-up), and of each of those that follow."""
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < 4 or (time.perf_counter() - began < seconds and len(times) < LONGEST):
        start = time.perf_counter()
        epoch()
        times.append(time.perf_counter() - start)
    return times[0], times[1:]


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
    print(f"{arguments.seconds:g} s each; warm-up: the first epoch, not counted\n", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        for name in cases:
            table(CASES[name], name, Path(scratch), arguments)


def table(case: Case, name: str, folder: Path, arguments: argparse.Namespace) -> None:
    cuda = arguments.device == "cuda"
    print(f"{case.name}\n{'':34} {'lanes x epochs/s':>30} {'n':>4} {'warm-up s':>9} {'x stock':>8}"
          + f" {'MiB/lane':>9} {'busy %':>7}" * cuda)  # fmt: skip
    device = {"device": arguments.device}
    base = _row("stock, one process", 1, stock(case, case.config(folder, **device), folder),
                arguments, None)  # fmt: skip
    ways: list[dict[str, Any]] = [{"precision": precision} for precision in arguments.precision]
    ways += [{"compile": True}] * arguments.compile
    ways += [{"cuda_graphs": True}] * arguments.graphs
    for way in ways:
        for lanes in arguments.lanes or ([1, 8, 32, 128, 512] if cuda else [1, 8, 32, 128]):
            label = ", ".join(f"{key} {value}" for key, value in way.items())
            config = case.config(folder, **device, **way)
            with arithmetic(config.precision):
                try:
                    epoch = packed(config, lanes, folder)
                    _row(f"{label}, K = {lanes}", lanes, epoch, arguments, base)
                except torch.OutOfMemoryError:
                    print(f"{label}, K = {lanes}: out of memory")
            del epoch
    if cuda:
        together = shared(name, folder, arguments.seconds)
        print(
            f"{f'stock, {SHARED} processes':34} {together:30.1f} {together / base:23.2f}",
            flush=True,
        )
    print()


def _row(
    label: str,
    lanes: int,
    epoch: Callable[[], None],
    arguments: argparse.Namespace,
    base: float | None,
) -> float:
    cuda = arguments.device == "cuda"
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    warm, times = measure(epoch, arguments.seconds)
    low, median, high = statistics.quantiles([lanes / each for each in times], n=4)
    line = f"{label:34} {f'{median:.1f} [{low:.1f}, {high:.1f}]':>30} {len(times):4} {warm:9.1f}"
    line += f" {median / (base or median):8.2f}"
    if cuda:
        memory = (torch.cuda.max_memory_allocated() - before) / lanes / 2**20
        line += f" {memory:9.1f} {_busy(epoch):7.0f}"
    print(line, flush=True)
    return median


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
