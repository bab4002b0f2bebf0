from __future__ import annotations

from hpo.budget import Spending
from hpo.records import State
from hpo.report.spending import rows


def test_every_outcome_has_its_row_and_the_shares_are_of_the_workers_time() -> None:
    spent = Spending(
        wall_seconds=100.0,
        worker_seconds=200.0,
        busy_seconds={
            State.FAILED: 10.0,
            State.OUT_OF_MEMORY: 20.0,
            State.DIVERGED: 30.0,
            State.PRUNED: 40.0,
            State.COMPLETE: 50.0,
            State.RUNNING: 30.0,
        },
        cpu_seconds=400.0,
        gpu_seconds=7200.0,
    )
    assert list(rows(spent)) == [
        ("wall time", "1 min 40 s", ""),
        ("workers' time", "3 min 20 s", ""),
        ("complete trials", "50.0 s", "25 %"),
        ("pruned trials", "40.0 s", "20 %"),
        ("diverged trials", "30.0 s", "15 %"),
        ("out of memory", "20.0 s", "10 %"),
        ("failed trials", "10.0 s", "5 %"),
        ("lost or unfinished", "30.0 s", "15 %"),
        ("idle", "20.0 s", "10 %"),
        ("CPU-hours", "0.1111", ""),
        ("GPU-hours", "2", ""),
    ]


def test_shares_never_exceed_the_whole() -> None:
    """Trials may have been counted before their worker was."""
    spent = Spending(1.0, 2.0, {State.COMPLETE: 3.0, State.PRUNED: 1.0}, 2.0)
    assert [row[2] for row in rows(spent) if row[2]] == ["75 %", "25 %"]
    assert ("CPU-hours", "under 0.01", "") in rows(spent)
