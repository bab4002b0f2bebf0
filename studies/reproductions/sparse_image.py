"""A sparse image from fewer measurements than it has pixels, by the depth of a diagonal linear net.

A handwritten digit of scikit-learn's in a frame as wide again: 16 x 16 pixels of which most are 0.
Each measurement is a sum of all pixels with random signs; there is no noise, and no penalty: what
is found is what gradient descent from a small start comes to. The start is w = 0.001 at every
depth, as Li et al. 2021, arXiv:2108.05574, have it for their image.

    python studies/reproductions/sparse_image.py [--out docs/images/reproductions]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from implicit_sparsity import Problem, descend
from matplotlib import pyplot as plt
from rich.console import Console
from rich.table import Table
from scipy.optimize import linprog
from sklearn.datasets import load_digits

DIGIT, SIDE, MEASUREMENTS, START = 3, 16, 110, 1e-3
STEPS = 20_000


def image() -> np.ndarray:
    """[16, 16], in [0, 1]."""
    return np.pad(load_digits().images[DIGIT] / 16, SIDE // 4)


def measured() -> Problem:
    w = image().ravel()
    signs = 2.0 * np.random.RandomState(0).randint(0, 2, (MEASUREMENTS, w.size)) - 1
    return Problem(signs, signs @ w, w)


def recovered(problem: Problem) -> dict[str, np.ndarray]:
    """What each method makes of the measurements, [256] each.

    With no noise to fit, ridge and lasso have as good as no strength: the one comes to the least
    norm, the other to the least sum of absolute values, which is a linear program.
    """
    x, y = problem.x, problem.y
    least_norm = np.linalg.lstsq(x, y)[0]
    parts = linprog(np.ones(2 * problem.w.size), A_eq=np.hstack([x, -x]), b_eq=y).x
    lasso = np.subtract(*np.split(parts, 2))
    nets = {
        f"N = {depth}": descend(problem, depth, START ** (1 / depth), 0.05 / depth**2, STEPS).w
        for depth in (2, 3, 5)
    }
    return {"least norm (ridge)": least_norm, **nets, "least sum (lasso)": lasso}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/images/reproductions"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    problem = measured()
    found = recovered(problem)
    size = problem.error(np.zeros_like(problem.w))
    table = Table(
        title=f"{MEASUREMENTS} measurements of {problem.w.size} pixels, "
        f"{np.count_nonzero(problem.w)} not 0"
    )
    table.add_column("")
    table.add_column("|w - w*|² / |w*|²", justify="right")
    for name, w in found.items():
        table.add_row(name, f"{problem.error(w) / size:.3g}")
    Console().print(table)

    shown = {"the image": problem.w, **found}
    figure, panels = plt.subplots(1, len(shown), figsize=(12, 2.6), layout="constrained")
    for axes, (name, w) in zip(panels, shown.items(), strict=True):
        axes.imshow(w.reshape(SIDE, SIDE), cmap="gray_r", vmin=0, vmax=1)
        axes.set_title(name, fontsize=10)
        axes.set_axis_off()
    figure.savefig(out / "sparse_image.png", dpi=120)


if __name__ == "__main__":
    main()
