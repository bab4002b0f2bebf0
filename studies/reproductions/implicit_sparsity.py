"""Gradient descent on a diagonal linear net finds sparse weights: start small, and stop early.

The net is linear with w = u**N - v**N, element by element, all of u and v starting at alpha; 100
rows of 200 signs, five weights of 1 and 195 of 0, noise of standard deviation 0.5; full batches, no
penalty. Its error |w - w*|**2 falls below 0.1 for a while: the window in which to stop. Reproduced
are three statements of Li et al. 2021, arXiv:2108.05574, beside methods that know that few weights
count, or do not.

    python studies/reproductions/implicit_sparsity.py [--out docs/images/reproductions]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import Lasso, Ridge

from hpo.functional import early_stopping_window

THRESHOLD = 0.1


@dataclass(frozen=True)
class Problem:
    """Rows x [n, p], targets y [n] and the weights w [p] behind them."""

    x: np.ndarray
    y: np.ndarray
    w: np.ndarray

    def error(self, w: np.ndarray) -> float:
        return float(np.square(w - self.w).sum())


@dataclass(frozen=True)
class Descent:
    """A run of gradient descent: the errors after each of its steps, and where it ended, w [p]."""

    depth: int
    alpha: float
    rate: float
    errors: np.ndarray
    w: np.ndarray


def recipe() -> Problem:
    x = 2.0 * np.random.RandomState(0).randint(0, 2, (100, 200)) - 1
    w = np.zeros(200)
    w[:5] = 1
    return Problem(x, x @ w + 0.5 * np.random.RandomState(1).standard_normal(100), w)


def descend(problem: Problem, depth: int, alpha: float, rate: float, steps: int) -> Descent:
    """Gradient descent on the mean squared error of w = u**depth - v**depth.

    Written out, since the longest run has 150 000 steps; a test compares it with the model
    `diagonal` of the built-in trainer.
    """
    x, y, (n, p) = problem.x, problem.y, problem.x.shape
    u, v = np.full(p, alpha), np.full(p, alpha)
    errors = np.empty(steps)
    for step in range(steps):
        slope = (2 * depth / n) * (x.T @ (x @ (u**depth - v**depth) - y))
        u, v = u - rate * slope * u ** (depth - 1), v + rate * slope * v ** (depth - 1)
        errors[step] = problem.error(u**depth - v**depth)
    return Descent(depth, alpha, rate, errors, u**depth - v**depth)


STATEMENTS: dict[str, list[tuple[int, float, float, int]]] = {
    "A smaller start makes the window longer, N = 2": [
        (2, alpha, 0.01, 20_000) for alpha in (0.1, 0.03, 0.01, 0.001)
    ],
    "A smaller start makes the window longer, N = 3": [
        (3, alpha, 0.01, 60_000) for alpha in (0.2, 0.1, 0.05, 0.02)
    ],
    "More depth makes the window longer": [
        (2, 0.05, 0.01, 5_000),
        (3, 0.05, 0.01, 40_000),
        (4, 0.05, 0.01, 150_000),
    ],
    "More depth allows a larger start": [
        (depth, 0.3, 0.08 / depth**2, 20_000) for depth in (2, 3, 4, 6)
    ],
}


def show(title: str, runs: Sequence[Descent], console: Console) -> None:
    table = Table(title=title, title_justify="left")
    for column in ("N", "alpha", "rate", "window", "steps in it", "least error", "at step", "last"):
        table.add_column(column, justify="right")
    for run in runs:
        window = early_stopping_window(run.errors, THRESHOLD)
        table.add_row(
            str(run.depth),
            f"{run.alpha:g}",
            f"{run.rate:.3g}",
            "none" if window.first is None else f"{window.first} to {window.last}",
            str(window.length),
            f"{window.minimum:.4g}",
            str(window.best),
            f"{run.errors[-1]:.3g}",
        )
    console.print(table)


def beside(problem: Problem) -> dict[str, float]:
    """Errors of other methods, each with the one of many strengths that suits the weights best."""
    grid = np.geomspace(1e-4, 10, 100)
    x, y = problem.x, problem.y
    support = problem.w != 0
    oracle = np.zeros_like(problem.w)
    oracle[support] = np.linalg.lstsq(x[:, support], y)[0]
    lasso = (Lasso(a, fit_intercept=False, max_iter=100_000).fit(x, y).coef_ for a in grid)
    ridge = (Ridge(len(x) * a, fit_intercept=False).fit(x, y).coef_ for a in grid)
    return {
        "least squares of least norm": problem.error(np.linalg.lstsq(x, y)[0]),
        "best ridge": min(map(problem.error, ridge)),
        "best lasso": min(map(problem.error, lasso)),
        "least squares that knows the five weights": problem.error(oracle),
    }


def plot(runs: Sequence[Descent], others: dict[str, float], file: Path) -> None:
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for run in runs:
        (line,) = axes.loglog(
            np.arange(1, len(run.errors) + 1), run.errors, label=f"N = {run.depth}"
        )
        window = early_stopping_window(run.errors, THRESHOLD)
        axes.axvspan(window.first, window.last, ymax=0.03, color=line.get_color(), alpha=0.6)
    axes.axhline(THRESHOLD, color="black", linewidth=0.8, linestyle=":")
    for name, style in (("best lasso", "--"), ("best ridge", "-.")):
        axes.axhline(others[name], color="grey", linewidth=0.8, linestyle=style, label=name)
    axes.set(xlabel="step", ylabel="|w - w*|²", title="Windows for early stopping, alpha = 0.05")
    axes.legend(loc="upper right")
    figure.savefig(file, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/images/reproductions"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    console = Console(width=110)
    problem = recipe()
    found = {
        title: [descend(problem, *setting) for setting in settings]
        for title, settings in STATEMENTS.items()
    }
    for title, runs in found.items():
        show(title, runs, console)
    others = beside(problem)
    table = Table(title="Other methods on the same rows", title_justify="left")
    table.add_column("")
    table.add_column("|w - w*|²", justify="right")
    for name, error in others.items():
        table.add_row(name, f"{error:.4g}")
    console.print(table)
    plot(found["More depth makes the window longer"], others, out / "implicit_sparsity.png")


if __name__ == "__main__":
    main()
