"""Functions to minimize with a known optimum, each as a search space and a loss of its configs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Problem:
    """A function to minimize.

    Args:
        space: as in a study file.
        loss: of a config; NaN where a trial would diverge.
        optimum: the smallest loss there is.
    """

    space: Config
    loss: Callable[[Config], float]
    optimum: float


def branin(config: Config) -> float:
    """Two parameters, three equal minima.

    Reference: Dixon and Szego, Towards Global Optimization 2, 1978, chapter 1.
    """
    x, y = config["x"], config["y"]
    bent = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return bent**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


_ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
_A = np.array(
    [
        [10, 3, 17, 3.5, 1.7, 8],
        [0.05, 10, 17, 0.1, 8, 14],
        [3, 3.5, 1.7, 10, 17, 8],
        [17, 8, 0.05, 10, 0.1, 14],
    ]
)
_P = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def hartmann(config: Config) -> float:
    """Six parameters, six local minima.

    Reference: as for Branin.
    """
    x = np.array([config[f"x{i}"] for i in range(6)])
    return -float(_ALPHA @ np.exp(-(_A * (x - _P) ** 2).sum(axis=1)))


_STABLE = 0.05
"""The largest learning rate, with momentum counted in, at which the training below is stable."""


def training(config: Config) -> float:
    """A training run that diverges on a third of its space, next to where it is best.

    A step of gradient descent with momentum is of effective size lr / (1 - momentum). Beyond a
    largest one the loss grows without bound, and half of that is best: a valley beside a wall.
    """
    size = math.log10(config["lr"] / (1 - config["momentum"]))
    if size > math.log10(_STABLE):
        return math.nan
    return (
        0.05 * (size - math.log10(_STABLE / 2)) ** 2
        + 0.02 * (math.log10(config["decay"]) + 3.5) ** 2
        + 0.3 * (config["dropout"] - 0.25) ** 2
        + (config["smoothing"] - 0.1) ** 2
    )


def optimizers(config: Config) -> float:
    """A choice of three, each with parameters and a best loss of its own, beside a common one."""
    chosen = config["optimizer"]
    rate = math.log10(chosen["lr"])
    match chosen["kind"]:
        case "sgd":
            own = 0.1 * (rate + 1) ** 2 + 0.5 * (chosen["momentum"] - 0.9) ** 2
        case "adam":
            own = 0.03 + 0.1 * (rate + 3) ** 2 + 2 * (chosen["beta"] - 0.9) ** 2
        case _:
            own = 0.1 + 0.1 * (rate + 3.5) ** 2
    return own + 0.02 * (math.log10(config["decay"]) + 4) ** 2


_DECAY = {"low": 1e-6, "high": 1e-1, "log": True}

PROBLEMS = {
    "Branin": Problem(
        {"x": {"low": -5.0, "high": 10.0}, "y": {"low": 0.0, "high": 15.0}}, branin, 0.397887
    ),
    "Hartmann-6": Problem(
        {f"x{i}": {"low": 0.0, "high": 1.0} for i in range(6)}, hartmann, -3.322370
    ),
    "diverging-5": Problem(
        {
            "lr": {"low": 1e-5, "high": 1.0, "log": True},
            "momentum": {"low": 0.0, "high": 0.99},
            "decay": _DECAY,
            "dropout": {"low": 0.0, "high": 0.8},
            "smoothing": {"low": 0.0, "high": 0.3},
        },
        training,
        0.0,
    ),
    "conditional": Problem(
        {
            "decay": _DECAY,
            "optimizer": {
                "choices": [
                    {
                        "kind": "sgd",
                        "lr": {"low": 1e-4, "high": 1.0, "log": True},
                        "momentum": {"low": 0.0, "high": 0.99},
                    },
                    {
                        "kind": "adam",
                        "lr": {"low": 1e-5, "high": 1e-1, "log": True},
                        "beta": {"low": 0.8, "high": 0.999},
                    },
                    {"kind": "lion", "lr": {"low": 1e-5, "high": 1e-1, "log": True}},
                ]
            },
        },
        optimizers,
        0.0,
    ),
}
