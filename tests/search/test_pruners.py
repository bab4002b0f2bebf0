"""Asynchronous successive halving against a few lines that say what it is."""

from __future__ import annotations

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spaces import TREE, make_space

from hpo.records import Objective, Outcome, State
from hpo.search.pruners import Asha, NoPruner
from hpo.search.record import Record
from hpo.search.samplers import proposer
from hpo.search.settings import SearchSettings


def by_brute_force(curves, order, min_steps, factor, direction):
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


VALUES = st.integers(0, 6).map(float)


@settings(max_examples=30, deadline=None)
@given(st.data())
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_asha_decides_as_its_definition_says(tmp_path_factory, direction, data):
    count = data.draw(st.integers(1, 8))
    length = data.draw(st.integers(1, 9))
    curves = data.draw(
        st.lists(st.lists(VALUES, min_size=length, max_size=length), min_size=count, max_size=count)
    )
    min_steps, factor = data.draw(st.integers(1, 3)), data.draw(st.integers(2, 4))
    order = data.draw(st.permutations(list(range(count)) * length))

    space = make_space(TREE)
    pruner = Asha(min_steps=min_steps, reduction_factor=factor).make()
    journal = tmp_path_factory.mktemp("asha") / "journal"
    record = Record(journal, Objective("loss", direction), pruner)
    proposals = proposer(space, SearchSettings(sampler="random", trials=count))
    for _ in range(count):
        record.ask(proposals, space)
    ended: dict[int, int] = {}
    steps = dict.fromkeys(range(count), 0)
    for trial in order:
        if trial in ended:
            continue
        steps[trial] += 1
        value = curves[trial][steps[trial] - 1]
        if record.report(trial, steps[trial], value):
            ended[trial] = steps[trial]
            record.finish(trial, Outcome(State.PRUNED), value)
    assert ended == by_brute_force(curves, order, min_steps, factor, direction)


def test_asha_ends_what_is_worse_than_the_share_that_goes_on(tmp_path):
    space = make_space(TREE)
    pruner = Asha(min_steps=2, reduction_factor=3).make()
    record = Record(tmp_path / "journal", Objective("loss"), pruner)
    proposals = proposer(space, SearchSettings(sampler="random", trials=9))
    goes_on = []
    for value in (0.5, 0.6, 0.4, 0.45, 0.1, 0.2, 0.3, 0.15, 0.12):
        number = record.ask(proposals, space).number
        assert not record.report(number, 1, 99.0), "not before min_steps"
        if not record.report(number, 2, value):
            goes_on.append(value)
    assert goes_on == [0.5, 0.4, 0.1, 0.2, 0.15, 0.12]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(allow_nan=False, width=32), min_size=1, max_size=10))
def test_no_pruner_never_prunes(values):
    study = optuna.create_study(pruner=NoPruner().make())
    for _ in range(3):
        trial = study.ask()
        for step, value in enumerate(values, start=1):
            trial.report(value, step)
            assert not trial.should_prune()
