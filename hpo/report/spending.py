"""What a study has spent, and on what, as rows of a small table."""

from __future__ import annotations

from collections.abc import Iterator

from hpo.budget import Spending
from hpo.records import State
from hpo.report.words import digits, duration

Row = tuple[str, str, str]
"""What it was spent on, how much, and which part of the workers' time that is."""

_LABELS = {
    State.COMPLETE: "complete trials",
    State.PRUNED: "pruned trials",
    State.DIVERGED: "diverged trials",
    State.OUT_OF_MEMORY: "out of memory",
    State.FAILED: "failed trials",
    State.RUNNING: "lost or unfinished",
}


def rows(spent: Spending) -> Iterator[Row]:
    """Wall time, the workers' time and its parts; parts without any time are left out."""
    yield "wall time", duration(spent.wall_seconds), ""
    yield "workers' time", duration(spent.worker_seconds), ""
    parts = {label: spent.busy_seconds.get(state, 0.0) for state, label in _LABELS.items()}
    for label, seconds in {**parts, "idle": spent.idle_seconds}.items():
        if seconds > 0:
            # Trials that ended before their worker was counted may add up to more than its time.
            whole = max(spent.worker_seconds, sum(spent.busy_seconds.values()))
            yield label, duration(seconds), f"{100 * seconds / whole:.0f} %"
    yield "CPU-hours", _hours(spent.cpu_seconds), ""
    if spent.gpu_seconds:
        yield "GPU-hours", _hours(spent.gpu_seconds), ""


def _hours(seconds: float) -> str:
    hours = seconds / 3600
    return digits(hours) if hours >= 0.01 else "under 0.01"
