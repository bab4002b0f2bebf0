from __future__ import annotations

import dataclasses
import random

import pytest
from ruamel.yaml import YAML

from hpo.records import Objective, State, TrialRecord
from hpo.report.pages import study_page
from hpo.report.summary import at_edge, digits, duration, markdown, summarize, yaml

ERROR = Objective("val_error", "minimize")


def trial(
    number: int, value: float | None = None, state: State = State.COMPLETE, **params: object
) -> TrialRecord:
    running = state is State.RUNNING
    return TrialRecord(
        number=number,
        state=state,
        config={"epochs": 5, "model": {"kind": "mlp", "widths": [8, 8]}},
        params=params,
        value=value,
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
    assert [(point.number, point.value) for point in summary.curve] == [
        (1, 0.5),
        (2, 0.5),
        (3, 0.3),
        (4, 0.3),
    ]
    assert summary.counts == {State.COMPLETE: 3, State.PRUNED: 1, State.FAILED: 1}
    assert (summary.finished, summary.seconds) == (5, 14.0)


def test_points_after_a_running_trial_are_not_shown_as_they_may_change() -> None:
    trials = [trial(0, 0.5), trial(1, 0.4), trial(2, state=State.RUNNING), trial(3, 0.3)]
    early = study_page(trials, ERROR).curve
    late = study_page([*trials[:2], trial(2, 0.1), trials[3]], ERROR).curve
    assert list(late[: len(early)]) == list(early)
    assert [point.value for point in early] == [0.5, 0.4]


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_top_five_are_the_best_and_first_of_equals(direction: str) -> None:
    objective = Objective("score", direction)  # type: ignore[arg-type]
    trials = [
        trial(number, value) for number, value in enumerate([3.0, 1.0, 2.0, 1.0, 3.0, 2.0, 2.0])
    ]
    summary = summarize(trials, objective)
    expected = [1, 3, 2, 5, 6] if direction == "minimize" else [0, 4, 2, 5, 6]
    assert [t.number for t in summary.top] == expected
    assert summary.best is not None
    assert summary.best.number == expected[0]


def test_the_order_in_which_trials_are_given_does_not_matter() -> None:
    trials = [trial(number, random.Random(number).random()) for number in range(20)]
    shuffled = random.Random(1).sample(trials, len(trials))
    assert markdown(summarize(shuffled, ERROR)) == markdown(summarize(trials, ERROR))


def test_markdown_in_full() -> None:
    trials = [
        trial(0, 0.123456, lr=0.01, **{"optimizer.kind": "sgd"}),
        trial(1, 0.0987654, lr=0.0999, **{"optimizer.beta": 0.9}),
        trial(2, state=State.OUT_OF_MEMORY),
    ]
    text = markdown(summarize(trials, ERROR), total=10, ranges={"lr": (0.001, 0.1)})
    assert (
        text
        == """\
**3 of 10 trials** in 12.0 s: 2 complete, 1 out of memory.

## Best: trial 1, `val_error` 0.09877

> `lr` = 0.0999 is at the edge of its range (0.001 to 0.1): the optimum may lie beyond it.

```yaml
epochs: 5
model:
  kind: mlp
  widths: [8, 8]
```

## Top 2

| trial | val_error | lr | optimizer.beta | optimizer.kind |
| ---: | ---: | --- | --- | --- |
| 1 | 0.09877 | 0.0999 | 0.9 |  |
| 0 | 0.1235 | 0.01 |  | sgd |
"""
    )


def test_cells_cannot_break_the_table() -> None:
    text = markdown(summarize([trial(0, 1.0, a="x|y\nz")], ERROR))
    assert "| 0 | 1 | x\\|y z |" in text


@pytest.mark.parametrize(
    ("value", "low", "high", "edge"),
    [
        (0.5, 0, 1, False),
        (0.995, 0, 1, True),
        (0, 0, 1, True),
        (1e-3, 1e-5, 1.0, False),
        (1.02e-5, 1e-5, 1.0, True),
        (4, 1, 4, True),
        (True, 0, 1, False),
        ("adamw", 0, 1, False),
        (None, 0, 1, False),
        (1.0, 1.0, 1.0, False),
    ],
)
def test_edges(value: object, low: float, high: float, edge: bool) -> None:
    assert at_edge(value, low, high) is edge


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
    accuracy = Objective("accuracy", "maximize")
    curve = summarize([trial(0, 0.5), trial(1, 0.4), trial(2, 0.9)], accuracy).curve
    assert [point.value for point in curve] == [0.5, 0.5, 0.9]


def test_best_is_the_page_s_best() -> None:
    trials = [trial(0, 0.5), dataclasses.replace(trial(1, 0.4), params={"lr": 1})]
    page = study_page(trials, ERROR)
    assert page.best == trials[1]
    assert page.finished == 2
