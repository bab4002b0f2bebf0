"""Early stopping that compares the ends of cycles alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from train_helpers import EVERYTHING, Run, config

from hpo.train.drivers.single import run
from hpo.train.schedules import Constant, SchedulePart, Triangular, WarmRestarts
from hpo.train.timetable import Timetable
from hpo.trainable import TrialStopped

MakeRun = Callable[..., Run]

ROWS = 90  # of iris, to train on


@pytest.mark.parametrize(
    ("schedule", "total", "expected"),
    [
        (WarmRestarts(cycles=3, growth=2.0), 70, [10, 30, 70]),
        (WarmRestarts(cycles=4, growth=1.0), 10, [2, 5, 8, 10]),
        (Triangular(cycles=3), 60, [20, 40, 60]),
        (Triangular(cycles=1), 60, [60]),
        (Constant(), 60, []),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_schedules_know_their_cycles(
    schedule: SchedulePart, total: int, expected: list[int]
) -> None:
    assert schedule.cycle_ends(total) == expected


@pytest.mark.parametrize("schedule", [WarmRestarts(), WarmRestarts(cycles=7, growth=1.0)])
def test_the_rate_jumps_where_a_cycle_ends(schedule: SchedulePart) -> None:
    factors = schedule.factor(torch.arange(500, dtype=torch.float64), 500)
    jumps = (factors[1:] > factors[:-1]).nonzero().flatten() + 1
    assert [*jumps.tolist(), 500] == schedule.cycle_ends(500)


@pytest.mark.parametrize(
    ("epochs", "warmup", "schedule", "expected"),
    [
        (14, 0.0, {"kind": "warm_restarts", "cycles": 3, "growth": 2.0}, [2, 6, 14]),
        (20, 0.3, {"kind": "warm_restarts", "cycles": 3, "growth": 2.0}, [8, 12, 20]),
        (9, 0.0, {"kind": "triangular", "cycles": 3}, [3, 6, 9]),
        (10, 0.0, {"kind": "triangular", "cycles": 4}, [2, 5, 7, 10]),  # 2.5 and 7.5 epochs
        (2, 0.0, {"kind": "triangular", "cycles": 9}, [1, 2]),
        (5, 0.0, {"kind": "cosine"}, []),
    ],
)
def test_epochs_at_which_cycles_end(
    epochs: int, warmup: float, schedule: dict[str, Any], expected: list[int]
) -> None:
    case = config(epochs=epochs, warmup={"fraction": warmup}, schedule=schedule)
    assert Timetable.of(case, ROWS).cycle_ends == expected


def cycling(patience: int, **changes: Any) -> Any:
    """Cycles of two epochs, with rates at which iris is unlearned again within each."""
    return config(
        **{
            "epochs": 16,
            "schedule": {"kind": "warm_restarts", "cycles": 8, "growth": 1.0},
            "warmup": {"fraction": 0.0},
            "batch_lr": {"batch_size": 8, "base_lr": 12.0},
            "early_stopping": {"at": "cycle_end", "patience": patience},
        }
        | changes
    )


def losses(trial: Run) -> dict[int, float]:
    return {report.step: report.metrics["val_loss"] for report in trial.reports}


def test_the_best_cycle_end_is_kept(make_run: MakeRun) -> None:
    trial = make_run()
    result = run(cycling(100), trial.trial())
    at_ends = {epoch: loss for epoch, loss in losses(trial).items() if epoch % 2 == 0}
    best = min(at_ends, key=lambda epoch: at_ends[epoch])
    assert (result["best_epoch"], result["val_loss"]) == (best, at_ends[best])
    assert result["epochs"] == 16 != best, "the last one is the best: this shows nothing"


def test_what_is_better_within_a_cycle_does_not_count(make_run: MakeRun) -> None:
    """The rate falls with each cycle: the first epoch is far better than what follows."""
    schedule = {"kind": "triangular", "cycles": 2}
    better_first = {"epochs": 4, "schedule": schedule, "batch_lr": {"base_lr": 100.0}}
    trial = make_run()
    result = run(cycling(100, **better_first), trial.trial())
    found = losses(trial)
    assert min(found[1], found[3]) < min(found[2], found[4])
    assert result["val_loss"] == min(found[2], found[4])
    usual = run(cycling(1, **better_first, early_stopping={"patience": 100}), make_run("b").trial())
    assert usual["val_loss"] == min(found.values())


@pytest.mark.parametrize("patience", [1, 2])
def test_patience_counts_cycles(make_run: MakeRun, patience: int) -> None:
    whole = make_run("whole")
    run(cycling(100), whole.trial())
    at_ends = [loss for epoch, loss in losses(whole).items() if epoch % 2 == 0]
    best, since, cycles = at_ends[0], 0, 1
    while since < patience and cycles < 8:
        since = 0 if at_ends[cycles] < best else since + 1
        best = min(best, at_ends[cycles])
        cycles += 1
    assert cycles < 8, "it was never stopped: this shows nothing"
    result = run(cycling(patience), make_run("stopped").trial())
    assert result["epochs"] == 2 * cycles
    assert result["best_epoch"] == 2 * (cycles - patience) and result["val_loss"] == best


def test_a_resumed_trial_gives_the_same_bits(make_run: MakeRun) -> None:
    case = cycling(2, **EVERYTHING)
    whole, parts = make_run("whole"), make_run("parts")
    result = run(case, whole.trial())
    for stop in (1, 2, 3):  # before, at and after the end of a cycle
        parts.stop_at = stop
        with pytest.raises(TrialStopped):
            run(case, parts.trial())
    parts.stop_at = None
    assert run(case, parts.trial()) == result
    for name, tensor in load_file(whole.folder / "ck" / "model.safetensors").items():
        assert torch.equal(tensor, load_file(parts.folder / "ck" / "model.safetensors")[name])


@pytest.mark.parametrize("kind", ["cosine", "one_cycle", "constant"])
def test_there_must_be_cycles(kind: str) -> None:
    with pytest.raises(ValidationError, match="needs a schedule with cycles, got " + kind):
        config(schedule={"kind": kind}, early_stopping={"at": "cycle_end"})
