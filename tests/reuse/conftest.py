"""One home with studies that are done, for all that reads them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from hpo.home import Home
from hpo.study import run

IRIS = {
    "trainable": "builtin",
    "space": {
        "data": {"kind": "sklearn", "name": "iris"},
        "model": {"kind": "mlp", "widths": [64]},
        "epochs": 2,
        "batch_lr": {"batch_size": 16, "base_lr": {"low": 0.1, "high": 1.0}},
    },
    "objective": {"metric": "val_loss"},
    "search": {"sampler": "random", "trials": 2, "seed": 3},
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


WriteStudy = Callable[..., Path]


@pytest.fixture(scope="session")
def write_iris() -> WriteStudy:
    """Writes a study that takes a second, some of its sections replaced."""

    def write(folder: Path, name: str = "iris", **changes: Any) -> Path:
        path = folder / f"{name}.yaml"
        path.write_text(json.dumps({**IRIS, "name": name, **changes}))
        return path

    return write


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, write_iris: WriteStudy) -> Home:
    """A home with the study iris, which is done and tracked in the home's own store."""
    folder = tmp_path_factory.mktemp("reuse")
    home = Home(folder / "home")
    run(write_iris(folder), inline=True, home=home)
    return home
