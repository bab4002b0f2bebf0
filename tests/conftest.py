from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from object_stores import gcs, s3
from postgres import postgres

from hpo.execute import ray_tune  # sets what Ray must know before it is imported
from hpo.home import Home

# A shell that starts the tests in the background has Ctrl-C ignored, by them and by all that they
# start, some of which they interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

TESTS = Path(__file__).parent

WriteStudy = Callable[..., Path]

__all__ = ["gcs", "postgres", "s3"]


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """One local cluster for the whole session, with two GPUs that are only declared."""
    import ray

    os.environ["PYTHONPATH"] = str(TESTS)
    ray.init(
        address="local",
        num_cpus=2,
        num_gpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        namespace="hpo",
    )
    assert ray.util.get_node_ip_address() == "127.0.0.1", ray_tune.__name__
    yield
    ray.shutdown()


@pytest.fixture(params=["default", "postgresql"])
def storage(request: pytest.FixtureRequest) -> str:
    """Where records are kept: each of the stores in turn."""
    return "default" if request.param == "default" else request.getfixturevalue("postgres").url


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def write_study(tmp_path: Path) -> WriteStudy:
    """Writes a study of `toys:train` with some of its sections replaced; JSON is YAML."""
    shutil.copy(TESTS / "toys.py", tmp_path / "toys.py")

    def write(**changes: Any) -> Path:
        study = {
            "name": "toy",
            "trainable": "toys:train",
            "space": {"x": {"low": 0, "high": 1}},
            "objective": {"metric": "loss"},
            "search": {"sampler": "tpe", "trials": 8},
            "tracking": {"uri": "none"},
            **changes,
        }
        path = tmp_path / f"{study['name']}.yaml"
        path.write_text(json.dumps(study, indent=1))
        return path

    return write
