"""One training step of the built-in trainer beside the same net in stock torch.

Stock is what a PyTorch user writes: nn.Module, loss.backward(), torch.optim, a learning rate
scheduler stepped with the optimizer. Both sides train the same net on the same batches, on one
thread, in alternating blocks, so that a change in the machine's speed hits both alike.

Needs only torch, numpy, pydantic and safetensors. Run: python benchmarks/step.py [--blocks N]
"""

from __future__ import annotations

import argparse
import math
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hpo.train.config import TrainConfig
from hpo.train.drivers.single import value_and_grad
from hpo.train.lanes import bind, knobs
from hpo.train.layout import Layout
from hpo.train.noise import step_keys
from hpo.train.step import Batch, Knobs, Step

BATCH, CLASSES, STEPS = 64, 10, 10_000  # rows; outputs; length of the schedule
MLP = {"kind": "mlp", "widths": [128, 128]}
SGD, ADAMW = {"kind": "sgd", "momentum": 0.9}, {"kind": "adamw"}
DECAY = {"weight_decay": {"strength": 1e-2}}


@dataclass(frozen=True)
class Case:
    name: str
    inputs: tuple[int, ...]
    model: dict[str, Any] = field(default_factory=lambda: MLP)
    optimizer: dict[str, Any] = field(default_factory=lambda: SGD)
    regularization: dict[str, Any] = field(default_factory=dict)
    dropout: float = 0.0

    def config(self) -> TrainConfig:
        return TrainConfig.model_validate(
            {
                "data": {"kind": "npz", "path": "unused"},
                "model": self.model,
                "optimizer": self.optimizer,
                "regularization": self.regularization,
                "dropout": {"hidden": self.dropout},
                "loss": {"kind": "cross_entropy"},
            }
        )


CASES = [
    Case("mlp 40-128-128-10, sgd", (40,)),
    Case("mlp 64-128-128-10, sgd", (64,)),
    Case("mlp 64-128-128-10, sgd + decay", (64,), regularization=DECAY),
    Case("mlp 64-128-128-10, sgd + dropout", (64,), dropout=0.2),
    Case("mlp 64-128-128-10, adamw", (64,), optimizer=ADAMW, regularization=DECAY),
    Case(
        "mlp 64-128-128-10, adamw + dropout",
        (64,),
        optimizer=ADAMW,
        regularization=DECAY,
        dropout=0.2,
    ),
    Case("cnn 1x8x8, 16-32 channels, sgd", (1, 8, 8), {"kind": "cnn", "channels": [16, 32]}),
]


def built_in(case: Case, xs: list[torch.Tensor], ys: list[torch.Tensor]) -> Callable[[int], None]:
    """A function that trains on n batches, as the single driver does."""
    config = case.config()
    like = torch.empty(0)
    layout = Layout(config.model.shapes(case.inputs, CLASSES))
    step = Step(config, layout, like, value_and_grad)
    parts = Knobs.of(bind(config, {k: like.new_tensor(v) for k, v in knobs(config).items()}))
    generator = torch.Generator().manual_seed(0)
    params = layout.join(
        config.initialization.initial(config.model, layout, generator, Path())
    ).float()
    steps = torch.arange(STEPS)
    rates = config.warmup.factors(config.schedule, STEPS) * config.batch_lr.learning_rate
    table = list(
        zip(
            steps.float().unbind(),
            rates.float().unbind(),
            step_keys(0, steps).unbind(),
            strict=True,
        )
    )
    state = step.init_state(params, parts)
    done = 0

    def train(n: int) -> None:
        nonlocal params, state, done
        for _ in range(n):
            i = done % len(xs)
            batch = Batch(xs[i], ys[i], *table[done % STEPS])
            params, state, _ = step(params, state, batch, parts)
            done += 1

    return train


def stock(case: Case, xs: list[torch.Tensor], ys: list[torch.Tensor]) -> Callable[[int], None]:
    """The same in stock torch."""
    config = case.config()
    net = _module(case)
    rate = config.batch_lr.learning_rate
    decay = case.regularization.get("weight_decay", {}).get("strength", 0.0)
    weights = [p for p in net.parameters() if p.dim() > 1]
    biases = [p for p in net.parameters() if p.dim() == 1]
    groups = [
        {"params": weights, "weight_decay": decay},
        {"params": biases, "weight_decay": 0.0},
    ]
    optimizer: torch.optim.Optimizer
    if case.optimizer["kind"] == "sgd":
        # torch's SGD has coupled decay only: as many operations as the decoupled one.
        optimizer = torch.optim.SGD(groups, lr=rate, momentum=case.optimizer["momentum"])
    else:
        optimizer = torch.optim.AdamW(groups, lr=rate)
    warm = round(config.warmup.fraction * STEPS)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda t: (
            (t + 1) / warm
            if t < warm
            else (1 + math.cos(math.pi * (t - warm) / (STEPS - warm))) / 2
        ),
    )
    loss_function = nn.CrossEntropyLoss()
    done = 0

    def train(n: int) -> None:
        nonlocal done
        for _ in range(n):
            i = done % len(xs)
            optimizer.zero_grad()
            loss = loss_function(net(xs[i]), ys[i])
            loss.backward()
            optimizer.step()
            scheduler.step()
            done += 1

    return train


def _module(case: Case) -> nn.Module:
    layers: list[nn.Module] = []
    if case.model["kind"] == "mlp":
        size = case.inputs[0]
        for width in case.model["widths"]:
            layers += [nn.Linear(size, width), nn.ReLU()]
            layers += [nn.Dropout(case.dropout)] if case.dropout else []
            size = width
        return nn.Sequential(*layers, nn.Linear(size, CLASSES))
    planes, height, width = case.inputs
    for channels in case.model["channels"]:
        layers += [nn.Conv2d(planes, channels, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        planes, height, width = channels, height // 2, width // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(planes * height * width, CLASSES))


def measure(
    sides: list[Callable[[int], None]], blocks: int, steps: int
) -> list[tuple[float, list[float]]]:
    """Of each side: microseconds per step of the first block (the warm-up), and of the others."""
    times: list[list[float]] = [[] for _ in sides]
    for _ in range(blocks + 1):
        for side, spent in zip(sides, times, strict=True):
            start = time.perf_counter()
            side(steps)
            spent.append((time.perf_counter() - start) / steps * 1e6)
    return [(spent[0], spent[1:]) for spent in times]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=20, help="timed blocks of each side")
    parser.add_argument("--steps", type=int, default=100, help="training steps in a block")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"{_processor()}, 1 thread; Python {platform.python_version()}, torch {torch.__version__}; "
        f"float32, batch {BATCH}; n = {arguments.blocks} blocks of {arguments.steps} steps"
    )
    print("microseconds per step: median [quartiles]; warm-up: the first block, not counted\n")
    header = f"{'net':36} {'built-in':>20} {'stock torch':>20} {'ratio':>6} {'warm-up':>12}"
    print(header + "\n" + "-" * len(header))
    for case in CASES:
        generator = torch.Generator().manual_seed(1)
        xs = [torch.randn(BATCH, *case.inputs, generator=generator) for _ in range(16)]
        ys = [torch.randint(CLASSES, (BATCH,), generator=generator) for _ in range(16)]
        (warm, ours), (stock_warm, theirs) = measure(
            [built_in(case, xs, ys), stock(case, xs, ys)], arguments.blocks, arguments.steps
        )
        ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        print(
            f"{case.name:36} {_spread(ours):>20} {_spread(theirs):>20} {ratio:6.2f} "
            f"{warm:5.0f} {stock_warm:6.0f}",
            flush=True,
        )


def _spread(times: list[float]) -> str:
    low, median, high = statistics.quantiles(times, n=4)
    return f"{median:.0f} [{low:.0f}, {high:.0f}]"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
