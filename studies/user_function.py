"""A training loop of one's own, searched by hpo: two interleaved half moons and a small net.

hpo asks three things of it: a config as a Pydantic model, the signature `(config, trial)`, and a
report after each epoch. `hpo.model` says how the net of its `model.safetensors` is built, so that
it can be loaded and served. Everything else is plain PyTorch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

import hpo


class Config(BaseModel):
    """What may be searched. The bounds are checked before the first trial runs."""

    model_config = ConfigDict(extra="forbid")

    width: int = Field(32, ge=1, le=1024)
    activation: Literal["relu", "tanh"] = "relu"
    learning_rate: float = Field(0.1, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    batch_size: int = Field(20, ge=1)
    epochs: int = Field(15, ge=1)


def build(config: Config) -> nn.Module:
    """The net of a config: from points [N, 2] to scores [N, 2]."""
    activation = nn.ReLU() if config.activation == "relu" else nn.Tanh()
    return nn.Sequential(nn.Linear(2, config.width), activation, nn.Linear(config.width, 2))


@hpo.model(build, inputs=(2,))
def train(config: Config, trial: hpo.Trial) -> dict[str, float]:
    """Trains one net and returns what it reached on the validation points."""
    torch.manual_seed(trial.seed)
    # The data has a seed of its own: all trials must be compared on the same points.
    points, labels = half_moons(600, seed=0)
    train_x, train_y, val_x, val_y = points[:400], labels[:400], points[400:], labels[400:]

    net = build(config)
    # Without momentum the optimizer has no state, so the weights are all there is to save.
    optimizer = torch.optim.SGD(
        net.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )

    done, metrics = resume(net, trial.checkpoint_dir)
    if done:
        trial.report(metrics, step=done)  # the crash may have come before this report
    for epoch in range(done + 1, config.epochs + 1):
        # Order by (seed, epoch): a trial that goes on after a crash sees the batches it would have.
        generator = torch.Generator().manual_seed(trial.seed + epoch)
        for rows in torch.randperm(len(train_x), generator=generator).split(config.batch_size):
            optimizer.zero_grad()
            F.cross_entropy(net(train_x[rows]), train_y[rows]).backward()
            optimizer.step()

        with torch.no_grad():
            logits = net(val_x)
        metrics = {
            "val_error": (logits.argmax(1) != val_y).float().mean().item(),
            "val_loss": F.cross_entropy(logits, val_y).item(),
        }
        save(net, epoch, metrics, trial.checkpoint_dir)
        trial.report(metrics, step=epoch)  # ends the trial here if it should not go on
    return metrics


def half_moons(n: int, seed: int, noise: float = 0.25) -> tuple[torch.Tensor, torch.Tensor]:
    """Points [n, 2] around two interleaved half circles, and which of them each is from, [n]."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(2, (n,), generator=generator)
    angle = (torch.rand(n, generator=generator) + labels) * torch.pi
    circle = torch.stack([angle.cos() + labels, angle.sin() + 0.5 * labels], dim=1)
    return circle + noise * torch.randn(n, 2, generator=generator), labels


def save(net: nn.Module, epoch: int, metrics: dict[str, float], folder: Path) -> None:
    """One file, moved into place, so that a crash leaves either the old one or the new one."""
    facts = {"epoch": json.dumps(epoch), "metrics": json.dumps(metrics)}
    save_file(net.state_dict(), folder / "net.tmp", facts)
    (folder / "net.tmp").replace(folder / "model.safetensors")


def resume(net: nn.Module, folder: Path) -> tuple[int, dict[str, float]]:
    """Loads what `save` left: epoch and metrics; 0 and nothing if the trial starts."""
    file = folder / "model.safetensors"
    if not file.exists():
        return 0, {}
    net.load_state_dict(load_file(file))
    with safe_open(file, framework="pt") as opened:
        facts = opened.metadata()
    return json.loads(facts["epoch"]), json.loads(facts["metrics"])
