from __future__ import annotations

import dataclasses
import random

import pytest
from ruamel.yaml import YAML

from hpo.budget import Spending
from hpo.records import Objective, State, TrialRecord
from hpo.report.audit import Audit, Rung
from hpo.report.markdown import MAX_ROWS, at_edge, markdown
from hpo.report.pages import study_page
from hpo.report.summary import summarize
from hpo.report.words import digits, duration, yaml
from hpo.space import Range

ERROR = (Objective("val_error", "minimize"),)
TWO = (Objective("val_error"), Objective("speed", "maximize"))
LR = {"lr": Range("lr", 0.001, 0.1, scale="log")}
SPENT = Spending(
    wall_seconds=75.0,
    worker_seconds=100.0,
    busy_seconds={State.COMPLETE: 60.0, State.FAILED: 0.0, State.RUNNING: 15.0},
    cpu_seconds=180.0,
)


def trial(
    number: int,
    value: float | tuple[float, ...] | None = None,
    state: State = State.COMPLETE,
    **params: object,
) -> TrialRecord:
    running = state is State.RUNNING
    return TrialRecord(
        number=number,
        state=state,
        config={"epochs": 5, "model": {"kind": "mlp", "widths": [8, 8]}},
        params=params,
        values=value if isinstance(value, tuple) else () if value is None else (value,),
        metrics={},
        reason="",
        started=100.0 + number,
        finished=None if running else 110.0 + number,
        steps=5,
    )


def test_nothing_yet() -> None:
    assert markdown(summarize([], ERROR), total=20) == (
        "**0 of 20 trials** so far.\n\nNo trial is complete yet.\n"
    )


def test_the_curve_has_a_point_for_each_ended_trial_from_the_first_value_on() -> None:
    trials = [
        trial(0, state=State.FAILED),
        trial(1, 0.5),
        trial(2, 0.4, State.PRUNED),
        trial(3, 0.3),
        trial(4, 0.6),
    ]
    summary = summarize(trials, ERROR)
    assert [(point.number, point.value) for point in summary.curves["val_error"]] == [
        (1, 0.5),
        (2, 0.5),
        (3, 0.3),
        (4, 0.3),
    ]
    assert summary.counts == {State.COMPLETE: 3, State.PRUNED: 1, State.FAILED: 1}
    assert (summary.finished, summary.newest) == (5, 114.0)


def test_points_after_a_running_trial_are_not_shown_as_they_may_change() -> None:
    trials = [trial(0, 0.5), trial(1, 0.4), trial(2, state=State.RUNNING), trial(3, 0.3)]
    early = study_page(summarize(trials, ERROR), "").curves["val_error"]
    ended = [*trials[:2], trial(2, 0.1), trials[3]]
    late = study_page(summarize(ended, ERROR), "").curves["val_error"]
    assert list(late[: len(early)]) == list(early)
    assert [point.value for point in early] == [0.5, 0.4]


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_top_five_are_the_best_and_first_of_equals(direction: str) -> None:
    objective = Objective("score", direction)  # type: ignore[arg-type]
    trials = [
        trial(number, value) for number, value in enumerate([3.0, 1.0, 2.0, 1.0, 3.0, 2.0, 2.0])
    ]
    summary = summarize(trials, (objective,))
    expected = [1, 3, 2, 5, 6] if direction == "minimize" else [0, 4, 2, 5, 6]
    assert [t.number for t in summary.top] == expected
    assert [t.number for t in summary.best] == expected[:1]


def test_the_order_in_which_trials_are_given_does_not_matter() -> None:
    trials = [trial(number, random.Random(number).random()) for number in range(20)]
    shuffled = random.Random(1).sample(trials, len(trials))
    assert markdown(summarize(shuffled, ERROR)) == markdown(summarize(trials, ERROR))


def test_markdown_in_full() -> None:
    trials = [
        trial(0, 0.123456, lr=0.01, **{"optimizer.kind": "sgd"}),
        dataclasses.replace(trial(1, 0.0987654, lr=0.0999, **{"optimizer.beta": 0.9}), draws=3),
        trial(2, state=State.OUT_OF_MEMORY),
        dataclasses.replace(trial(3, 0.123456, lr=0.01), same_as=0),
    ]
    text = markdown(
        summarize(trials, ERROR, SPENT),
        total=10,
        ranges=LR,
        tests={1: {"test_error": 0.11}},
        ended_by="budget.wall_hours: 2 hours are used up",
    )
    assert (
        text
        == """\
**4 of 10 trials** in 1 min 15 s: 3 complete, 1 out of memory; \
2 draws that the config model rejected.

It ended by budget.wall_hours: 2 hours are used up.

## Best: trial 1, `val_error` 0.09877

On the test set, looked at only after the search: `test_error` 0.11.

> `lr` = 0.0999 is at the edge of its range (0.001 to 0.1): the optimum may lie beyond it.

```yaml
epochs: 5
model:
  kind: mlp
  widths: [8, 8]
```

## Top 3

| trial | val_error | lr | optimizer.beta | optimizer.kind |
| ---: | ---: | --- | --- | --- |
| 1 | 0.09877 | 0.0999 | 0.9 |  |
| 0 | 0.1235 | 0.01 |  | sgd |
| 3 (same as 0) | 0.1235 | 0.01 |  |  |

## Spent

| spent on | time | share |
| --- | --- | --- |
| wall time | 1 min 15 s |  |
| workers' time | 1 min 40 s |  |
| complete trials | 1 min 0 s | 60 % |
| lost or unfinished | 15.0 s | 15 % |
| idle | 25.0 s | 25 % |
| CPU-hours | 0.05 |  |
"""
    )


def test_a_study_that_runs_says_how_far_it_is_and_what_is_left() -> None:
    summary = summarize([trial(0, 0.5), trial(1, 0.4), trial(2, state=State.RUNNING)], ERROR, SPENT)
    first = markdown(summary, total=8).partition("\n")[0]
    left = "(25 %, about 3 min 45 s left)"  # 75 s for two trials, six to go
    assert first == f"**2 of 8 trials** in 1 min 15 s {left}: 1 running, 2 complete."
    for over in (markdown(summary, total=8, over=True), markdown(summary, total=2)):
        assert " left" not in over.partition("\n")[0]
    assert " left" not in markdown(summarize([], ERROR), total=8)


def test_how_to_use_it_is_said_once_there_is_something_to_use() -> None:
    assert "hpo best" not in markdown(summarize([trial(0, state=State.PRUNED)], ERROR), name="toy")
    summary = summarize([trial(0, 0.5)], ERROR)
    running, over = markdown(summary, name="toy"), markdown(summary, name="toy", over=True)
    assert "`hpo best toy`" in running and "promote" not in running
    assert "`hpo best toy`" in over and "`hpo promote toy`" in over


def test_markdown_of_several_objectives_has_the_front_by_the_first_of_them() -> None:
    trials = [
        trial(0, (0.5, 9.0), lr=0.1),
        trial(1, (0.1, 1.0), lr=0.01),
        trial(2, (0.5, 8.0), lr=0.2),
        trial(3, (0.3, 4.0), lr=0.3),
    ]
    text = markdown(summarize(trials, TWO), ranges=LR, tests={3: {"test_error": 0.35}, 1: {}})
    assert (
        text
        == """\
**4 trials**: 4 complete.

## Pareto set: 3 trials

No other trial is at least as good in `val_error` and `speed` and better in one of them.

| trial | val_error | speed | lr |
| ---: | ---: | ---: | --- |
| 1 | 0.1 | 1 | 0.01 |
| 3 | 0.3 | 4 | 0.3 |
| 0 | 0.5 | 9 | 0.1 |

On the test set, looked at only after the search:

* trial 3: `test_error` 0.35
"""
    )


def test_a_large_front_is_cut_and_says_so() -> None:
    trials = [trial(n, (float(n), float(n))) for n in range(MAX_ROWS + 5)]
    text = markdown(summarize(trials, TWO))
    assert f"| {MAX_ROWS - 1} |" in text and f"| {MAX_ROWS} |" not in text
    assert "And 5 more: `hpo best` lists them all." in text


def test_each_objective_has_its_own_curve() -> None:
    trials = [trial(0, (0.5, 9.0)), trial(1, (0.1, 1.0)), trial(2, state=State.FAILED)]
    curves = summarize(trials, TWO).curves
    assert {metric: [p.value for p in curve] for metric, curve in curves.items()} == {
        "val_error": [0.5, 0.1, 0.1],
        "speed": [9.0, 9.0, 9.0],
    }


AUDIT = Audit(
    best=(4, 2), rungs=(Rung(1, 1 / 3, 9, (2,)), Rung(3, 1 / 3, 3, ())), pruned=6, saved=30, full=60
)


def test_the_audit_in_words() -> None:
    text = markdown(summarize([trial(2, 0.2), trial(4, 0.1)], ERROR), audit=AUDIT)
    assert "6 trials pruned. That saved 30 steps, 50 % of the 60 that all would have taken." in text
    assert "turned out best (4, 2)?" in text
    assert "| 1 | 33 % | 9 | 1 of 2 (2) |" in text
    assert "| 3 | 33 % | 3 | 0 of 2 |" in text


def test_an_audit_claims_no_savings_that_it_does_not_know() -> None:
    unknown = dataclasses.replace(AUDIT, rungs=(), pruned=1, saved=None, full=None)
    text = markdown(summarize([trial(2, 0.2)], ERROR), audit=unknown)
    assert text.endswith("## Pruning\n\n1 trial pruned.\n")


def test_nothing_is_said_of_pruning_where_nothing_prunes() -> None:
    assert "Prun" not in markdown(summarize([trial(2, 0.2)], ERROR))


def test_a_clock_that_was_set_back_does_not_reach_the_summary() -> None:
    back = dataclasses.replace(trial(1, 0.4), started=50.0, finished=-3600.0)
    straight = markdown(summarize([trial(0, 0.5), trial(1, 0.4)], ERROR, SPENT))
    assert markdown(summarize([trial(0, 0.5), back], ERROR, SPENT)) == straight
    assert "1 min 15 s" in straight


def test_cells_cannot_break_the_table() -> None:
    text = markdown(summarize([trial(0, 1.0, a="x|y\nz")], ERROR))
    assert "| 0 | 1 | x\\|y z |" in text


@pytest.mark.parametrize(
    ("value", "within", "edge"),
    [
        (0.5, Range("p", 0, 1), False),
        (0.995, Range("p", 0, 1), True),
        (0, Range("p", 0, 1), True),
        (1e-3, Range("p", 1e-5, 1.0), True),
        (1e-3, Range("p", 1e-5, 1.0, scale="log"), False),
        (1.02e-5, Range("p", 1e-5, 1.0, scale="log"), True),
        (0.99, Range("p", 0.0, 0.999, scale="complement"), False),
        (0.9989, Range("p", 0.0, 0.999), True),
        (0.9985, Range("p", 0.0, 0.999, scale="complement"), False),
        (0.99895, Range("p", 0.0, 0.999, scale="complement"), True),
        (4, Range("p", 1, 4, integer=True), True),
        (3, Range("p", 1, 4, integer=True), False),
        (True, Range("p", 0, 1), False),
        ("adamw", Range("p", 0, 1), False),
        (None, Range("p", 0, 1), False),
        (1.0, Range("p", 1.0, 1.0), False),
    ],
)
def test_edges_are_those_of_the_ranges_own_scale(value: object, within: Range, edge: bool) -> None:
    assert at_edge(value, within) is edge


def test_the_yaml_reads_back_as_the_config() -> None:
    config = {"b": 1e-5, "a": [1, 2], "on": None, "text": "yes: no", "deep": {"x": {"y": True}}}
    text = yaml(config)
    assert YAML(typ="safe").load(text) == config
    assert text.index("b:") < text.index("a:"), "the config's own order"


def test_values_have_sensible_digits() -> None:
    assert [digits(v) for v in (0.123456, 1e-7, 5, "a", True, None, [1, 2])] == [
        *("0.1235", "1e-07", "5", "a", "true", "null", "[1, 2]")
    ]
    assert [duration(s) for s in (3.21, 59.99, 75, 7265)] == [
        *("3.2 s", "60.0 s", "1 min 15 s", "2 h 1 min")
    ]


def test_a_summary_of_a_maximized_metric() -> None:
    accuracy = (Objective("accuracy", "maximize"),)
    curves = summarize([trial(0, 0.5), trial(1, 0.4), trial(2, 0.9)], accuracy).curves
    assert [point.value for point in curves["accuracy"]] == [0.5, 0.5, 0.9]


def test_the_page_is_the_summary() -> None:
    trials = [trial(0, 0.5), dataclasses.replace(trial(1, 0.4), params={"lr": 1})]
    page = study_page(summarize(trials, ERROR, SPENT), "text")
    assert (page.description, list(page.best), page.finished) == ("text", [trials[1]], 2)
    assert (page.spent, page.time) == (SPENT, 111.0)
