"""A training script that takes its numbers from the champion, and trains at another batch size.

    python train.py [--batch-size N] [--epochs N]

The loop is plain PyTorch. The learning rate follows the batch size by the rule that the config was
searched with, and the schedule is a share of all steps, so nothing has to be searched again.
"""

from __future__ import annotations

import argparse
from itertools import pairwise

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

import hpo


def train(batch_size: int, epochs: int | None) -> float:
    """Trains on all rows but every fifth; the share of those that it gets wrong."""
    config = hpo.load_best("digits@champion")
    coupling = config.batch_lr.model_copy(update={"batch_size": batch_size})
    print(f"batch size {config.batch_lr.batch_size} -> {batch_size}")
    print(f"learning rate {config.batch_lr.learning_rate:.4g} -> {coupling.learning_rate:.4g}")
    print(f"assumed: {coupling.assumption}")

    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
    held_out = torch.arange(len(x)) % 5 == 0
    x_train, y_train = x[~held_out], y[~held_out]

    torch.manual_seed(0)
    sizes = [x.shape[1], *config.model.widths, 10]
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    net = nn.Sequential(*layers[:-1])

    epochs = epochs or config.epochs
    steps = epochs * -(-len(x_train) // batch_size)
    optimizer = torch.optim.SGD(
        net.parameters(), lr=coupling.learning_rate, momentum=config.optimizer.momentum
    )
    factors = config.warmup.factors(config.schedule, steps)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: factors[min(step, steps - 1)].item()
    )
    for _ in range(epochs):
        for rows in torch.randperm(len(x_train)).split(batch_size):
            optimizer.zero_grad()
            F.cross_entropy(net(x_train[rows]), y_train[rows]).backward()
            optimizer.step()
            schedule.step()

    with torch.no_grad():
        wrong = (net(x[held_out]).argmax(1) != y[held_out]).float().mean().item()
    print(f"wrong on the rows held out: {wrong:.1%}")
    return wrong


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train with the champion's config.")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--epochs", type=int, help="default: the champion's")
    arguments = parser.parse_args()
    train(arguments.batch_size, arguments.epochs)
