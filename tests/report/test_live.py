"""Progress on a terminal and in a log."""

from __future__ import annotations

import io
import time
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from hpo.records import Objective, State, TrialRecord
from hpo.report.live import LiveView, best_line, counts, pace

LOSS = (Objective("loss"),)
TWO = (Objective("loss"), Objective("speed", "maximize"))


def trial(number: int, *values: float) -> TrialRecord:
    return TrialRecord(number, State.COMPLETE, {}, {"x": 0.5}, values, {}, "", 1.0, 2.0, 5)


def progress(*best: TrialRecord, **changes: Any) -> Any:
    """As the coordinator tells it."""
    states = {State.COMPLETE: 5, State.OUT_OF_MEMORY: 1, State.RUNNING: 2}
    values = {
        "stage": "search",
        "total": 60,
        "counts": states,
        "best": best,
        "finished": 6,
        "finished_here": 3,
        "started": time.time(),
        "stopping": False,
        "ended_by": "",
    }
    return SimpleNamespace(**(values | changes))


def test_how_many_are_done() -> None:
    assert counts(progress()) == "6/60 done (5 complete, 1 out of memory), 2 running"
    assert counts(progress(total=None, counts={}, finished=0)) == "0 done"


def test_the_pace_is_of_this_run() -> None:
    assert pace(progress(), 90.0) == "2 trials/min, 27 min 0 s left"
    assert pace(progress(total=None), 90.0) == "2 trials/min"
    assert pace(progress(stopping=True), 90.0) == "2 trials/min"
    assert pace(progress(finished_here=0), 90.0) == "90 s"


def test_the_best_of_each_objective_and_the_size_of_the_front() -> None:
    assert best_line((trial(3, 0.125),), LOSS) == "loss 0.125 (trial 3)"
    front = (trial(3, 0.125, 10.0), trial(7, 0.5, 40.0))
    assert best_line(front, TWO) == (
        "loss 0.125 (trial 3), speed 40 (trial 7), 2 trials in the Pareto set"
    )


def view(objectives: Any = LOSS, terminal: bool = False) -> tuple[LiveView, io.StringIO]:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=120, soft_wrap=True)
    return LiveView(console, "toy", objectives), text


def test_a_log_has_a_line_for_a_new_best_and_none_for_the_same() -> None:
    shown, text = view()
    with shown:
        for best in (0.5, 0.5, 0.4):
            shown.show(progress(trial(int(10 * best), best)))
    lines = text.getvalue().splitlines()
    assert ["loss 0.5 (trial 5)" in line for line in lines] == [True, False]
    assert "loss 0.4 (trial 4)" in lines[1]


def test_a_log_says_why_the_study_is_ending() -> None:
    shown, text = view()
    with shown:
        shown.show(progress(ended_by="budget.target: reached"))
    assert "ending by budget.target: reached" in text.getvalue()


@pytest.mark.parametrize("total", [60, None])
def test_the_panel(total: int | None) -> None:
    shown, text = view(TWO, terminal=True)
    with shown:
        shown.show(progress(trial(3, 0.1, 9.0), total=total, ended_by="why"), "no answer")
    assert "1 trial in the Pareto set" in text.getvalue()
    assert "behind: no answer" in text.getvalue() and "why" in text.getvalue()


def test_the_final_stage_says_so_and_names_no_luckiest_run() -> None:
    for terminal in (False, True):
        shown, text = view(terminal=terminal)
        with shown:
            shown.show(progress(trial(3, 0.125), stage="final", total=15, finished_here=0))
        assert "toy, final stage" in text.getvalue() and "best" not in text.getvalue()
