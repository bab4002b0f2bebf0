"""Every pruner against a few lines that say what it is."""

from __future__ import annotations

import math
import statistics
from collections import Counter

import optuna
import pytest
from golden import GOLDEN
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from scipy import stats

from hpo.search.pruners import (
    Asha,
    Hyperband,
    Median,
    NoPruner,
    Patient,
    Percentile,
    PrunerSettings,
    Threshold,
    Wilcoxon,
)

optuna.logging.set_verbosity(optuna.logging.ERROR)

EACH = [
    NoPruner(),
    Asha(),
    Hyperband(max_steps=27),
    Median(startup_trials=1),
    Percentile(startup_trials=1),
    Threshold(upper=1.0),
    Wilcoxon(),
    Patient(pruner=Median(startup_trials=1)),
]
VALUES = st.integers(0, 6).map(float)


class Trials:
    """Trials in memory, of which each report is judged."""

    def __init__(self, pruner, direction="minimize"):
        self.study = optuna.create_study(
            study_name="study",
            direction=direction,
            pruner=pruner.make(),
            sampler=optuna.samplers.RandomSampler(),
        )

    def report(self, trial, step, value):
        trial.report(value, step)
        return trial.should_prune()

    def run(self, values, first=1):
        """A trial to its end: the step at which it is pruned, or `None`."""
        trial = self.study.ask()
        for step, value in enumerate(values, start=first):
            if self.report(trial, step, value):
                self.study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                return step
        self.study.tell(trial, values[-1])
        return None


def asha_by_brute_force(curves, order, min_steps, factor, direction):
    """The trials that ASHA ends and the step at which it does, written from its definition.

    At step min_steps * factor ** k a trial goes on if it is among the best 1 / factor of all that
    have reached that step so far, itself included; of a few, the best one goes on.
    """
    reached: dict[int, list[float]] = {}
    steps = dict.fromkeys(range(len(curves)), 0)
    ended: dict[int, int] = {}
    for trial in order:
        if trial in ended or steps[trial] == len(curves[trial]):
            continue
        steps[trial] += 1
        step, value = steps[trial], curves[trial][steps[trial] - 1]
        if step not in [min_steps * factor**k for k in range(20)]:
            continue
        value = value if direction == "minimize" else -value
        rung = reached.setdefault(step, [])
        rung.append(value)
        keep = max(len(rung) // factor, 1)
        if value > sorted(rung)[keep - 1]:
            ended[trial] = step
    return ended


@settings(max_examples=30, deadline=None)
@given(st.data())
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_asha_decides_as_its_definition_says(direction, data):
    count = data.draw(st.integers(1, 8))
    length = data.draw(st.integers(1, 9))
    curves = data.draw(
        st.lists(st.lists(VALUES, min_size=length, max_size=length), min_size=count, max_size=count)
    )
    min_steps, factor = data.draw(st.integers(1, 3)), data.draw(st.integers(2, 4))
    order = data.draw(st.permutations(list(range(count)) * length))

    trials = Trials(Asha(min_steps=min_steps, reduction_factor=factor), direction)
    opened = [trials.study.ask() for _ in range(count)]
    ended: dict[int, int] = {}
    steps = dict.fromkeys(range(count), 0)
    for trial in order:
        if trial not in ended:
            steps[trial] += 1
            step = steps[trial]
            if trials.report(opened[trial], step, curves[trial][step - 1]):
                ended[trial] = step
    assert ended == asha_by_brute_force(curves, order, min_steps, factor, direction)


def test_asha_ends_what_is_worse_than_the_share_that_goes_on():
    trials = Trials(Asha(min_steps=2, reduction_factor=3))
    values = (0.5, 0.6, 0.4, 0.45, 0.1, 0.2, 0.3, 0.15, 0.12)
    ended = [trials.run([99.0, value]) for value in values]
    goes_on = [value for value, step in zip(values, ended, strict=True) if step is None]
    assert goes_on == [0.5, 0.4, 0.1, 0.2, 0.15, 0.12]
    assert set(ended) == {None, 2}, "not before min_steps"


def test_hyperband_brackets_are_a_function_of_the_number():
    """Every trial worse than the one before: each ends at the first rung of its bracket."""
    settings = Hyperband(max_steps=9)

    def ends():
        trials = Trials(settings)
        return [trials.run([float(number)] * 9) for number in range(60)]

    found = ends()
    assert found == ends()
    assert set(found[12:]) <= {1, 3, 9} and len(set(found[12:])) == 3
    counts = [found[12:].count(step) for step in (1, 3, 9)]
    assert counts[0] > counts[2], "the bracket that judges first has the most trials"


def hyperband_ends(max_steps, factor, count):
    """How many trials, each worse than all before it, end at which step.

    They show their bracket: all but its first trial end at its first rung.
    """
    trials = Trials(Hyperband(max_steps=max_steps, reduction_factor=factor))
    return Counter(trials.run([float(number)] * max_steps) for number in range(count))


@pytest.mark.parametrize("known", ["R81_eta3", "R27_eta3", "R16_eta2"])
def test_hyperband_has_the_brackets_of_its_paper(known):
    """Their first rungs, and the share of the trials that each has.

    How many the paper keeps at a rung is not compared: it has them all wait for one another, and
    here each goes on or ends at once.
    """
    brackets = [bracket["rounds"] for bracket in GOLDEN["hyperband"][known]]
    sizes = {int(rounds[0][1]): rounds[0][0] for rounds in brackets}
    max_steps, factor = (int(part[1:].lstrip("eta")) for part in known.split("_"))
    rungs = Hyperband(max_steps=max_steps, reduction_factor=factor).rungs(max_steps)
    assert [step for step, _ in rungs] == [step for _, step in brackets[0]]

    ends = hyperband_ends(max_steps, factor, 400)
    assert ends.pop(None) == len(brackets), "of each bracket the first"
    assert ends.keys() == sizes.keys()
    shares = [sizes[step] / sum(sizes.values()) * ends.total() for step in sizes]
    assert stats.chisquare([ends[step] for step in sizes], shares).pvalue > 1e-3


@pytest.mark.parametrize(
    ("max_steps", "factor", "count"),
    [(243, 3, 6), (242, 3, 5), (125, 5, 4), (8, 2, 4), (7, 2, 3), (2, 3, 1), (1, 2, 1)],
)
def test_hyperband_counts_its_brackets_in_whole_numbers(max_steps, factor, count):
    """In floats, log(243) / log(3) is below 5."""
    ends = hyperband_ends(max_steps, factor, 150)
    assert ends.pop(None) == count and ends.keys() <= {factor**k for k in range(count)}


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(VALUES, min_size=4, max_size=4), min_size=1, max_size=9),
    st.sampled_from(["minimize", "maximize"]),
)
def test_the_median_is_that_of_complete_trials_at_the_step(curves, direction):
    trials = Trials(Median(startup_trials=2, warmup_steps=2), direction)
    better = max if direction == "maximize" else min
    sign = -1 if direction == "maximize" else 1
    complete: list[list[float]] = []
    for curve in curves:
        expected = None
        if len(complete) >= 2:
            for step in (2, 3, 4):
                middle = statistics.median(other[step - 1] for other in complete)
                if sign * better(curve[:step]) > sign * middle:
                    expected = step
                    break
        assert trials.run(curve) == expected
        if expected is None:
            complete.append(curve)


def test_a_percentile_keeps_its_share():
    trials = Trials(Percentile(percentile=25, startup_trials=5, interval_steps=5, warmup_steps=5))
    for value in range(5):
        assert trials.run([float(value)] * 5) is None
    assert trials.run([1.5] * 5) == 5
    assert trials.run([1.0] * 5) is None
    assert trials.run([9.0] * 4) is None, "not before the first check"


def test_a_threshold_bounds_the_objective_whichever_direction_is_better():
    for direction in ("minimize", "maximize"):
        trials = Trials(Threshold(lower=0.0, upper=1.0, warmup_steps=2), direction)
        assert trials.run([5.0, 0.5, 1.0]) is None
        assert trials.run([0.5, 1.1]) == 2
        assert trials.run([0.5, 0.5, -0.1]) == 3


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_wilcoxon_compares_folds_with_those_of_the_best(direction):
    sign = 1 if direction == "minimize" else -1
    easy_and_hard = [0.1, 0.9, 0.2, 0.8, 0.3, 0.7]
    trials = Trials(Wilcoxon(), direction)
    assert trials.run([sign * v for v in easy_and_hard]) is None
    ended = trials.run([sign * (v + 0.05) for v in easy_and_hard])
    assert ended is not None and ended > 2, "worse by little, but on every fold"
    assert trials.run([sign * (v - 0.05) for v in easy_and_hard]) is None


def test_patience_asks_only_about_what_has_been_getting_worse():
    impatient, patient = (
        Median(startup_trials=1),
        Patient(patience=2, pruner=Median(startup_trials=1)),
    )
    for pruner, ends_at in ((impatient, 1), (patient, 5)):
        trials = Trials(pruner)
        assert trials.run([0.1] * 9) is None
        assert trials.run([0.9, 0.8, 0.85, 0.86, 0.87, 0.88]) == ends_at
    trials = Trials(patient)
    assert trials.run([0.1] * 9) is None
    assert trials.run([0.9, 0.8, 0.7, 0.6, 0.5, 0.4]) is None, "bad, but improving"
    assert trials.run([0.9, 0.8, 0.8, 0.8, 0.8, 0.8]) is None, "bad, but not getting worse"


@pytest.mark.parametrize("pruner", EACH, ids=lambda pruner: pruner.kind)
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.filterwarnings("ignore")  # Wilcoxon says that it does not judge it
def test_a_value_that_is_not_finite_harms_no_other_trial(pruner, direction, bad):
    """Whatever becomes of the trial that reports it, a good one that comes after goes on."""
    sign = 1 if direction == "minimize" else -1
    for at in range(6):
        trials = Trials(pruner, direction)
        for _ in range(2):
            trials.run([sign * 0.9] * 6)
        broken = trials.study.ask()
        for step in range(1, 7):
            trials.report(broken, step, sign * (bad if step - 1 == at else 0.9))
        trials.study.tell(broken, state=optuna.trial.TrialState.FAIL)
        assert trials.run([sign * value for value in (0.6, 0.5, 0.4, 0.3, 0.2, 0.1)]) is None


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(allow_nan=False, width=32), min_size=1, max_size=10))
def test_no_pruner_never_prunes(values):
    trials = Trials(NoPruner())
    assert [trials.run(values) for _ in range(3)] == [None] * 3


def test_rungs():
    assert Asha(min_steps=2).rungs(20) == [(2, 1 / 3), (6, 1 / 3), (18, 1 / 3)]
    assert Asha(min_steps=30).rungs(20) == []
    assert Hyperband(max_steps=16, reduction_factor=4).rungs(64) == [
        (1, 0.25),
        (4, 0.25),
        (16, 0.25),
    ]
    assert Median().rungs(3) == [(1, 0.5), (2, 0.5), (3, 0.5)]
    assert Median(warmup_steps=10, interval_steps=10).rungs(40) == [
        (10, 0.5),
        (20, 0.5),
        (30, 0.5),
        (40, 0.5),
    ]
    many = Percentile(percentile=20).rungs(600)
    assert [step for step, _ in many] == [100, 200, 300, 400, 500, 600]
    assert {share for _, share in many} == {0.2}
    assert Median(warmup_steps=10).rungs(5) == []
    for pruner in (NoPruner(), Threshold(upper=1.0), Wilcoxon()):
        assert pruner.rungs(100) == []
    assert Patient(pruner=Asha()).rungs(3) == Asha().rungs(3)


@pytest.mark.parametrize("pruner", EACH, ids=lambda pruner: pruner.kind)
def test_settings_survive_their_own_json(pruner):
    adapter = TypeAdapter(PrunerSettings)
    assert adapter.validate_python(pruner.model_dump(mode="json")) == pruner


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"kind": "hyperband"}, "max_steps"),
        ({"kind": "hyperband", "max_steps": 3, "min_steps": 4}, "min_steps <= max_steps"),
        ({"kind": "threshold"}, "needs lower or upper"),
        ({"kind": "threshold", "lower": 1, "upper": 1}, "lower < upper"),
        ({"kind": "percentile", "percentile": 0}, "greater than 0"),
        ({"kind": "patient"}, "pruner"),
        ({"kind": "patient", "pruner": {"kind": "patient"}}, "'asha', 'hyperband', 'median'"),
        ({"kind": "halving"}, "'none', 'asha', 'hyperband'"),
    ],
)
def test_mistakes_are_named(written, said):
    with pytest.raises(ValidationError, match=said):
        TypeAdapter(PrunerSettings).validate_python(written)
