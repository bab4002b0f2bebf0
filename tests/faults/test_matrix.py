"""Every fault of the matrix, once; `make faults` does each of them many times over.

Trackers that are slow or wrong are for that alone: tests/track/test_publisher.py has both.

The seed is another one each time, and is shown when something is wrong. `python
tests/faults/matrix.py --only FAULT --driver DRIVER --seed SEED` does it again.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from scenario import FAULTS, Driver, Fault, World, execute

ELSEWHERE = ("MLflow takes 5 s an answer", "MLflow answers 500")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(tmp_path_factory.mktemp("faults"), stack)


@pytest.mark.parametrize(
    ("fault", "driver"),
    [(fault, fault.drivers[0]) for fault in FAULTS if fault.name not in ELSEWHERE]
    + [(FAULTS[0], "ray")],
    ids=lambda value: value.id if isinstance(value, Fault) else value,
)
def test_nothing_is_lost_and_nothing_happens_twice(fault: Fault, driver: Driver, world: World):
    seed = random.randrange(10**6)
    result = execute(fault, driver, seed, world)
    assert result.verdict.problems == [], f"--seed {seed}\n{result.said[-2000:]}"
