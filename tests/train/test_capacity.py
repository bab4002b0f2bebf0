from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from train_helpers import config

from hpo.errors import InputError
from hpo.train.builtin import trainer
from hpo.train.drivers import capacity
from hpo.train.problem import assemble


def lane_bytes(lanes: int, **changes: Any) -> int:
    return capacity.lane_bytes(assemble(config(**changes), Path()), lanes)


def test_every_lane_more_costs_the_same() -> None:
    one, two, three = (lane_bytes(lanes) for lanes in (1, 2, 3))
    assert two - one == pytest.approx(three - two, rel=0.05) and two > one


def test_a_lane_counts_parameters_states_and_activations() -> None:
    wide = {"model": {"kind": "mlp", "widths": [256]}}
    parameters = 4 * (4 * 256 + 256 + 256 * 3 + 3)
    activations = 4 * 16 * 256
    cost = lane_bytes(2, **wide) - lane_bytes(1, **wide)
    assert cost > 3 * parameters + 2 * activations  # weights, gradients, momentum; both ways
    adam = lane_bytes(2, **wide, optimizer={"kind": "adamw"}) - lane_bytes(
        1, **wide, optimizer={"kind": "adamw"}
    )
    assert adam > cost + parameters


def test_room_follows_the_memory_that_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    case = config()
    lane = lane_bytes(2) - lane_bytes(1)
    monkeypatch.setattr(capacity, "_free", lambda device, share: 10 * lane)
    assert trainer.room(case, Path(), 1.0) == 8, "a margin is left"
    repeated = case.model_copy(update={"repeats": 3})
    assert trainer.room(repeated, Path(), 1.0) == 2, "a trial has several lanes"
    monkeypatch.setattr(capacity, "_free", lambda device, share: 0)
    assert trainer.room(case, Path(), 1.0) == 1
    monkeypatch.setattr(capacity, "_free", lambda device, share: 10**9 * lane)
    assert trainer.room(case, Path(), 1.0) == capacity.MOST["cpu"]


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_precisions_of_a_gpu_are_refused_elsewhere(precision: str) -> None:
    with pytest.raises(InputError, match="that of a GPU's matrix units, this trial runs on cpu"):
        assemble(config(precision=precision), Path())


def test_packs_pay_on_a_cpu_from_some_lanes_on_where_a_trial_alone_has_one() -> None:
    assert trainer.fewest(config(device="cpu")) == capacity.FEWEST["cpu"] > 1
    assert trainer.fewest(config(device="cpu", repeats=3)) == 1
