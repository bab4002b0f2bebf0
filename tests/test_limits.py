"""When a study is over before its number of trials."""

from __future__ import annotations

import pytest

from hpo.budget import BudgetSettings, Spending
from hpo.limits import Limits
from hpo.records import Objective, State, TrialRecord

LOSS = (Objective("loss"),)
SCORE = (Objective("score", "maximize"),)


def trial(number, *values, state=State.COMPLETE, reason=""):
    return TrialRecord(number, state, {}, {}, values, {}, reason, 0.0, 1.0, 1)


@pytest.mark.parametrize(
    ("limit", "spent", "said"),
    [
        ({"wall_hours": 2}, Spending(wall_seconds=7199), ""),
        ({"wall_hours": 2}, Spending(wall_seconds=7200), "budget.wall_hours: 2 hours are used up"),
        ({"cpu_hours": 0.5}, Spending(cpu_seconds=1800), "budget.cpu_hours: 0.5 hours"),
        ({"gpu_hours": 1}, Spending(cpu_seconds=9e9, gpu_seconds=3599), ""),
        ({"gpu_hours": 1}, Spending(gpu_seconds=3601), "budget.gpu_hours: 1 hours"),
    ],
)
def test_time(limit, spent, said):
    limits = Limits(BudgetSettings(**limit), LOSS, [])
    reached = limits.reached(spent)
    assert reached.startswith(said) and bool(reached) is bool(said)


@pytest.mark.parametrize(
    ("objectives", "values", "ends"),
    [(LOSS, [0.5, 0.21], False), (LOSS, [0.5, 0.2], True), (SCORE, [0.1, 0.2], True)],
)
def test_a_target(objectives, values, ends):
    limits = Limits(BudgetSettings(target=0.2), objectives, [])
    for number, value in enumerate(values):
        limits.ended(trial(number, value))
    assert limits.reached(Spending()).startswith("budget.target") is ends


def test_trials_in_a_row_without_a_better_one():
    limits = Limits(BudgetSettings(no_improvement=3), LOSS, [])
    endings = [(0, 0.5), (1, 0.6), (2, 0.7), (3, 0.4), (4, 0.4), (5, 0.9)]
    for number, value in endings:
        limits.ended(trial(number, value))
        assert not limits.reached(Spending())
    limits.ended(trial(6, state=State.DIVERGED))
    assert limits.reached(Spending()).startswith("budget.no_improvement: 3 trials")
    trials = [trial(n, v) for n, v in endings] + [trial(6, state=State.DIVERGED)]
    again = Limits(BudgetSettings(no_improvement=3), LOSS, trials)
    assert again.reached(Spending()) == limits.reached(Spending())


def test_with_several_objectives_a_new_trade_off_is_an_improvement():
    limits = Limits(BudgetSettings(no_improvement=1), (*LOSS, *SCORE), [])
    for number, values in enumerate([(0.5, 1.0), (0.4, 0.5), (0.9, 2.0)]):
        limits.ended(trial(number, *values))
        assert not limits.reached(Spending())
    assert [t.number for t in limits.best] == [0, 1, 2]
    assert limits.ended(trial(3, 0.3, 2.0))[0].number == 0
    assert [t.number for t in limits.best] == [3]
    limits.ended(trial(4, 0.4, 1.9))
    assert limits.reached(Spending())


def test_failures_in_a_row():
    limits = Limits(BudgetSettings(max_failures=3), LOSS, [])
    failed = [trial(n, state=State.FAILED, reason=why) for n, why in enumerate("aab")]
    for one in failed[:2]:
        limits.ended(one)
    limits.ended(trial(9, 0.5))
    for one in failed[:2]:
        limits.ended(one)
        assert limits.failing() is None
    limits.ended(failed[2])
    assert limits.failing() == "3 trials in a row failed; most often (2x) a"
