"""Three methods that come to a ridge regression, trained, beside the closed forms.

On a linear model of scikit-learn's diabetes data (442 rows, 10 features, standardised), with the
squared loss:

* dropout of the inputs at rate r is, in the mean over masks, ridge with the strength
  r / (1 - r) * |X_j|**2 of each feature j (Wager et al. 2013, arXiv:1307.1493);
* gradient descent from 0 that stops after t steps of rate e shrinks the direction of curvature h by
  1 - (1 - e * h)**t, and ridge of strength 1 / (t * e) by h / (h + 1 / (t * e)): nearly the same;
* a norm that may be at most r is ridge with the constraint's multiplier for strength (Karush, Kuhn
  and Tucker).

    python studies/reproductions/closed_forms.py [--out docs/images/reproductions]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from matplotlib import pyplot as plt
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_diabetes

from hpo.functional import max_norm_project
from hpo.train.noise import NoiseSource, step_keys
from hpo.train.regularizers.dropout import dropout

RATE = 0.3
"""Of the dropout."""

STEP, STEPS = 0.1, 100
"""Of gradient descent: its rate, and after how many steps it stops."""

RADIUS = 0.5


def rows() -> tuple[torch.Tensor, torch.Tensor]:
    """x [442, 10] and y [442], with means 0 and standard deviations 1."""
    x, y = (torch.from_numpy(array) for array in load_diabetes(return_X_y=True, scaled=False))
    return (x - x.mean(0)) / x.std(0, correction=0), (y - y.mean()) / y.std(correction=0)


def ridge(x: torch.Tensor, y: torch.Tensor, strength: torch.Tensor | float) -> torch.Tensor:
    """argmin |y - x w|**2 / n + sum_j strength_j * w_j**2, [10]."""
    penalty = torch.as_tensor(strength, dtype=x.dtype).expand(x.shape[1]).diag()
    return torch.linalg.solve(x.T @ x / len(x) + penalty, x.T @ y / len(x))


def with_dropout(x: torch.Tensor, y: torch.Tensor, masks: int) -> torch.Tensor:
    """The weights that are best over so many masks of all rows, [10]."""
    source = NoiseSource(x.device)
    gram, moment = x.new_zeros(x.shape[1], x.shape[1]), x.new_zeros(x.shape[1])
    for key in step_keys(0, torch.arange(masks)):
        dropped = dropout(x, RATE, source.at(key), "dropout.input")
        gram, moment = gram + dropped.T @ dropped, moment + dropped.T @ y
    return torch.linalg.solve(gram, moment)


def stopped(x: torch.Tensor, y: torch.Tensor, rate: float, steps: int) -> torch.Tensor:
    """Gradient descent from 0 on half the mean squared error, [10]."""
    w = x.new_zeros(x.shape[1])
    for _ in range(steps):
        w = w - rate * (x.T @ (x @ w - y)) / len(x)
    return w


def bounded(x: torch.Tensor, y: torch.Tensor, radius: float) -> tuple[torch.Tensor, float]:
    """Descent with a projection after each step, [10], and the constraint's multiplier.

    At the end a step leads out of the ball by as much as the projection takes back:
    w + rate * multiplier * w, straight along w.
    """
    w, rate, outside = x.new_zeros(1, x.shape[1]), 0.1, x.new_zeros(1, x.shape[1])
    for _ in range(2_000):
        outside = w - rate * (x.T @ (x @ w[0] - y)) / len(x)
        w = max_norm_project(outside, radius)
    return w[0], float((outside.norm() / radius - 1) / rate)


def compare(table: Table, name: str, found: torch.Tensor, closed: torch.Tensor) -> None:
    table.add_row(name, f"{closed.norm():.4f}", f"{(found - closed).norm() / closed.norm():.2g}")


def plot(x: torch.Tensor, y: torch.Tensor, file: Path) -> None:
    curvatures, basis = torch.linalg.eigh(x.T @ x / len(x))
    whole = basis.T @ ridge(x, y, 0.0)
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    shades = plt.colormaps["viridis"](np.linspace(0, 0.9, len(curvatures)))
    steps = np.unique(np.geomspace(1, 3000, 60).astype(int))
    early = np.array([(basis.T @ stopped(x, y, STEP, t) / whole).numpy() for t in steps])
    decayed = np.array([(basis.T @ ridge(x, y, 1 / (t * STEP)) / whole).numpy() for t in steps])
    for k, shade in enumerate(shades):
        label = f"curvature {curvatures[k]:.2g}" if k in (0, len(shades) - 1) else None
        axes.semilogx(steps, early[:, k], color=shade, label=label)
        axes.semilogx(steps, decayed[:, k], color=shade, linestyle="--")
    axes.set(
        xlabel="steps t; L2 strength 1 / (t * rate)",
        ylabel="share of the least-squares solution",
        title="Early stopping (lines) beside L2 (dashed), by direction",
    )
    axes.legend()
    figure.savefig(file, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/images/reproductions"))
    parser.add_argument("--masks", type=int, default=5_000)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    x, y = rows()

    table = Table(title="Linear regression on the diabetes data", title_justify="left")
    for column in ("trained", "|w|, closed form", "|difference| / |w|"):
        table.add_column(column)
    closed = ridge(x, y, RATE / (1 - RATE) * x.square().mean(0))
    name = f"dropout {RATE:g}, {arguments.masks} masks, beside ridge"
    compare(table, name, with_dropout(x, y, arguments.masks), closed)

    curvatures, basis = torch.linalg.eigh(x.T @ x / len(x))
    shrunk = 1 - (1 - STEP * curvatures) ** STEPS
    closed = basis @ (shrunk * (basis.T @ ridge(x, y, 0.0)))
    early = stopped(x, y, STEP, STEPS)
    compare(table, f"{STEPS} steps of rate {STEP:g}, beside 1 - (1 - rate * h)**t", early, closed)
    strength = 1 / (STEPS * STEP)
    compare(table, f"the same, beside ridge {strength:g}", early, ridge(x, y, strength))

    w, multiplier = bounded(x, y, RADIUS)
    name = f"norm at most {RADIUS:g}, beside ridge of its multiplier {multiplier:.4f}"
    compare(table, name, w, ridge(x, y, multiplier))
    Console(width=110).print(table)
    plot(x, y, arguments.out / "early_stopping_as_l2.png")


if __name__ == "__main__":
    main()
