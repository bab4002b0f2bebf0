"""Proposals: valid, counted, repeatable, and away from where trials diverged."""

from __future__ import annotations

import json
import math

import optuna
import pytest
from golden import GOLDEN
from hypothesis import given, settings
from hypothesis import strategies as st
from known import BRANCHES, NOTHING_PRUNED, SQUARE, BelowTheDiagonal, Known
from pydantic import BaseModel, model_validator
from scipy.stats import qmc

from hpo.errors import StudyFailed
from hpo.records import State
from hpo.search.pruners import Asha
from hpo.search.samplers import ATTEMPTS, choice, proposer
from hpo.search.samplers.tpe import candidates
from hpo.search.settings import SearchSettings

SAMPLED = ["random", "qmc", "tpe", "gp", "cmaes", "nsga2", "auto"]

DEAR = ("gp", "auto")
"""Those that fit a Gaussian process from the eleventh or twelfth trial on, for half a second a
draw: their tests have fewer trials."""

GRID = {"x": {"choices": [1, 2]}, "y": {"choices": [3, 4]}}


def bowl(config):
    return (sum((v - 0.3) ** 2 for v in numbers(config)),)


def two_bowls(config):
    return (*bowl(config), sum((v - 0.7) ** 2 for v in numbers(config)))


def numbers(data):
    if isinstance(data, dict):
        return [n for item in data.values() for n in numbers(item)]
    return [math.tanh(data)] if isinstance(data, (int, float)) else []


@pytest.mark.parametrize("sampler", SAMPLED)
@pytest.mark.parametrize("tree", [SQUARE, BRANCHES], ids=["square", "branches"])
def test_a_study_that_is_opened_again_draws_what_it_would_have_drawn(sampler, tree):
    first, total = (13, 17) if sampler in DEAR else (25, 50)
    whole = Known(sampler, tree)
    whole.run(total, bowl)
    parts = Known(sampler, tree)
    parts.run(first, bowl)
    parts = parts.reopen()
    parts.run(total, bowl)
    assert parts.configs() == whole.configs()
    assert len({json.dumps(config) for config in whole.configs()}) > 0.8 * total


@pytest.mark.parametrize("sampler", SAMPLED)
def test_so_does_one_of_which_many_draws_are_rejected(sampler):
    whole = Known(sampler, SQUARE, model=BelowTheDiagonal, seed=3)
    total = 14 if sampler in DEAR else 24
    whole.run(total, bowl)
    parts = Known(sampler, SQUARE, model=BelowTheDiagonal, seed=3)
    for trials in (1, 12, total):
        parts.run(trials, bowl)
        parts = parts.reopen()
    assert parts.proposals == whole.proposals
    assert any(proposal.draws > 1 for proposal in whole.proposals)


@pytest.mark.parametrize("sampler", ["random", "qmc", "tpe", "gp", "nsga2", "auto"])
def test_so_does_one_with_two_objectives(sampler):
    options = {"directions": ("minimize", "maximize"), "seed": 1}
    whole = Known(sampler, SQUARE, **options)
    total = 15 if sampler in DEAR else 28
    whole.run(total, two_bowls)
    parts = Known(sampler, SQUARE, **options)
    parts.run(total - 3, two_bowls)
    parts = parts.reopen()
    parts.run(total, two_bowls)
    assert parts.configs() == whole.configs()


@pytest.mark.parametrize("sampler", SAMPLED)
def test_so_does_one_with_several_running_and_some_pruned(sampler):
    """Four at a time; whatever runs while the study is opened again still runs after."""

    def step(known, number):
        known.ask()
        if number < 4:
            return
        done = number - 4
        if done % 5 == 2 and sampler in ("random", "qmc", "tpe", "auto"):
            known.tell(done, State.PRUNED, bowl(known.proposals[done].draw.config))
        else:
            known.tell(done, State.COMPLETE, bowl(known.proposals[done].draw.config))

    pruner = {"pruner": Asha()} if sampler in ("random", "qmc", "tpe", "auto") else {}
    whole, parts = (Known(sampler, BRANCHES, **pruner) for _ in range(2))
    for number in range(24 if sampler in DEAR else 32):
        step(whole, number)
        step(parts, number)
        if number % 9 == 8:
            parts = parts.reopen()
    assert parts.configs() == whole.configs()


@pytest.mark.parametrize("sampler", SAMPLED)
def test_no_invalid_config_is_proposed_and_every_draw_is_counted(sampler, monkeypatch):
    known = Known(sampler, SQUARE, model=BelowTheDiagonal)
    judged = []
    rejects = type(known.space).rejects

    def counting(self, data):
        judged.append(rejects(self, data))
        return judged[-1]

    monkeypatch.setattr(type(known.space), "rejects", counting)
    trials = 15 if sampler in DEAR else 20
    known.run(trials, bowl)
    assert all(config["x"] + config["y"] <= 1 for config in known.configs())
    assert sum(proposal.draws for proposal in known.proposals) == len(judged) > trials
    assert judged.count(None) == trials


class Moody(BaseModel):
    """Accepts everything, until it does not."""

    x: float

    @model_validator(mode="after")
    def _never(self) -> Moody:
        if MOOD:
            raise ValueError("not today")
        return self


MOOD: list[str] = []


@pytest.mark.parametrize("sampler", SAMPLED)
def test_a_space_that_cannot_be_satisfied_fails_in_the_validators_words(sampler):
    known = Known(sampler, {"x": {"low": 0.0, "high": 1.0}}, model=Moody)
    given = Known(sampler, {"x": {"low": 0.0, "high": 1.0}}, model=Moody)
    known.run(12, bowl)
    MOOD.append("bad")
    try:
        with pytest.raises(StudyFailed, match=rf"{ATTEMPTS} draws.*not today"):
            known.ask()
        with pytest.raises(StudyFailed, match=r"in 1 draws.*not today"):
            given.ask({"x": 0.5})
    finally:
        MOOD.clear()


@pytest.mark.parametrize("sampler", SAMPLED)
def test_what_is_given_is_taken_and_the_rest_is_chosen(sampler):
    known = Known(sampler, BRANCHES)
    known.run(12, bowl)
    part = known.ask({"lr": 0.125, "optimizer": 1})
    assert part.draw.config["lr"] == 0.125
    assert part.draw.config["optimizer"]["kind"] == "adam"
    assert part.draw.config["optimizer"]["beta"] in (0.9, 0.99)
    whole = known.ask(
        {"lr": 0.5, "width": 16, "act": 0, "optimizer": 0, "optimizer.sgd.momentum": 0.1}
    )
    assert whole.draw.config == {
        "lr": 0.5,
        "width": 16,
        "act": "relu",
        "optimizer": {"kind": "sgd", "momentum": 0.1},
    }
    known.run(16, bowl)
    parts = known.reopen()
    for each in (known, parts):
        each.run(18 if sampler in DEAR else 24, bowl)
    assert parts.configs() == known.configs()


@pytest.mark.parametrize("sampler", SAMPLED)
def test_steps_give_values_as_they_would_be_written(sampler):
    known = Known(sampler, {"x": {"low": 0.1, "high": 0.9, "step": 0.1}})
    known.run(40, bowl)
    seen = {config["x"] for config in known.configs()}
    assert seen <= {k / 10 for k in range(1, 10)} and len(seen) > 5


@pytest.mark.parametrize("sampler", ["random", "qmc"])
@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**63 - 1))
def test_a_trial_is_drawn_from_the_seed_and_its_number_alone(sampler, seed):
    one, other = (Known(sampler, BRANCHES, seed=seed) for _ in range(2))
    one.run(4, bowl)
    for _ in range(4):  # nothing is finished in between
        other.ask()
    assert one.configs() == other.configs()


def test_another_seed_is_another_study():
    for sampler in SAMPLED:
        one, other = (Known(sampler, SQUARE, seed=seed) for seed in (0, 1))
        assert one.ask().draw.config != other.ask().draw.config


def test_so_many_random_draws_find_the_best_twentieth():
    """Of every parameter, on its scale, with a probability of 95 %."""
    count, parameters, found = GOLDEN["random_search"]["p95_top5pct"], 40, []
    tree = {f"p{k}": {"low": 1e-4, "high": 1.0, "log": True} for k in range(parameters)}
    for seed in range(5):
        known = Known("random", tree, seed=seed)
        for _ in range(count):
            known.ask()
        best = (max(config[name] for config in known.configs()) for name in tree)
        found += [value >= 10 ** (-4 * 0.05) for value in best]
    assert sum(found) / len(found) == pytest.approx(0.95, abs=4 * (0.95 * 0.05 / len(found)) ** 0.5)


@pytest.mark.parametrize("sampler", ["tpe", "gp", "cmaes", "auto"])
def test_it_learns(sampler):
    """The later half of the trials on a bowl, against random draws: by far nearer."""
    half = 13 if sampler in DEAR else 20

    def nearness(kind, seed):
        known = Known(kind, {name: {"low": -1.0, "high": 1.0} for name in "ab"}, seed=seed)
        known.run(2 * half, bowl, accidents=False)
        values = [bowl(config)[0] for config in known.configs()[half:]]
        return sum(values) / len(values)

    for seed in range(2):
        assert nearness(sampler, seed) < 0.5 * nearness("random", seed)


def test_tpe_compares_more_points_where_more_parameters_are_drawn_together():
    counts = [candidates(parameters) for parameters in range(1, 40)]
    assert counts[:6] == [24, 40, 90, 160, 250, 256]
    assert set(counts[6:]) == {256}, "in long studies each takes time"


@pytest.mark.parametrize("sampler", ["nsga2", "tpe"])
def test_it_finds_trade_offs(sampler):
    """The later trials on two bowls, by how far they are from both centres: nearer than random."""

    def distance(kind, seed):
        tree = {name: {"low": 0.0, "high": 1.0} for name in "abcdef"}
        known = Known(kind, tree, directions=("minimize", "minimize"), seed=seed)
        known.run(160, two_bowls, accidents=False)
        return sum(sum(two_bowls(config)) for config in known.configs()[120:]) / 40

    for seed in range(2):
        assert distance(sampler, seed) < 0.8 * distance("random", seed)


@pytest.mark.parametrize("sampler", ["tpe", "gp", "auto"])
def test_it_keeps_away_from_where_trials_diverged(sampler):
    """Above x = 0.5 every trial diverges, though the objective falls up to there.

    Told as failed, they are ignored, and the sampler goes on walking into the wall.
    """

    judged = 10 if sampler in DEAR else 20

    def share_over_the_wall(told):
        over = 0
        for seed in range(2):
            known = Known(sampler, {"x": {"low": 0.0, "high": 1.0}}, seed=seed)
            for number in range(14 + judged):
                x = known.ask().draw.config["x"]
                if x > 0.5:
                    known.tell(number, told)
                    over += number >= 14
                else:
                    known.tell(number, State.COMPLETE, (1 - x,))
        return over / (2 * judged)

    assert share_over_the_wall(State.DIVERGED) < 0.6 * share_over_the_wall(State.FAILED)


@pytest.mark.parametrize("sampler", ["tpe", "gp", "cmaes", "nsga2"])
@pytest.mark.filterwarnings("error")
def test_it_goes_on_when_all_trials_diverge_or_fail(sampler):
    for told in (State.DIVERGED, State.FAILED):
        known = Known(sampler, SQUARE)
        for number in range(25):
            known.ask()
            known.tell(number, told)
        assert len({json.dumps(config) for config in known.configs()}) == 25


def test_a_grid_proposes_in_its_order_whatever_the_seed():
    for seed in (0, 1):
        known = Known("grid", GRID, seed=seed)
        known.run(9, bowl)
        found = [tuple(config.values()) for config in known.configs()]
        assert found == [(1, 3), (1, 4), (2, 3), (2, 4)]


def test_a_grid_passes_over_what_was_tried_and_what_the_model_rejects():
    space = Known("grid", GRID).space
    tried = {json.dumps({"x": 1, "y": 4}, sort_keys=True)}
    study = optuna.create_study()
    study.ask()
    grid = proposer(
        space,
        SearchSettings(sampler="grid"),
        objectives=1,
        pruner=NOTHING_PRUNED,
        tried=tried,
    )
    position, found = -1, []
    while grid.has_next(position):
        proposal = grid.propose(study, study.trials[0], len(found), position, {})
        position = proposal.position
        found.append((position, tuple(proposal.draw.config.values())))
    assert found == [(0, (1, 3)), (2, (2, 3)), (3, (2, 4))]
    assert grid.propose(study, study.trials[0], 3, position, {}) is None


def test_quasi_random_points_are_the_scrambled_sequence():
    """Sixteen points in sixteen strips of every parameter, one in each."""
    known = Known("qmc", SQUARE, seed=5)
    known.run(16, bowl)
    points = [tuple(config.values()) for config in known.configs()]
    for axis in range(2):
        assert sorted(int(point[axis] * 16) for point in points) == list(range(16))
    assert points[1] != (0.5, 0.5) and (0.0, 0.0) not in points
    assert qmc.discrepancy(points) < 0.02


def test_quasi_random_choices_and_steps_are_evenly_filled():
    tree = {"c": {"choices": ["a", "b", "c", "d"]}, "n": {"low": 1, "high": 8}}
    known = Known("qmc", tree)
    known.run(32, bowl)
    for key, values in (("c", "abcd"), ("n", range(1, 9))):
        counts = [sum(config[key] == value for config in known.configs()) for value in values]
        assert len(set(counts)) == 1


def test_quasi_random_positions_pass_over_rejected_points():
    known = Known("qmc", SQUARE, model=BelowTheDiagonal)
    known.run(20, bowl)
    positions = [proposal.position for proposal in known.proposals]
    steps = [b - a for a, b in zip([-1, *positions], positions, strict=False)]
    assert steps == [proposal.draws for proposal in known.proposals]
    known.ask({"x": 0.25, "y": 0.25})
    assert known.proposals[-1].position == positions[-1], "nothing was drawn"


def test_auto_says_what_it_chose_and_why():
    def said(tree, pruner, objectives=1):
        space = Known("random", tree).space
        search = SearchSettings(sampler="auto")
        return choice(space, search, objectives=objectives, pruner=pruner)

    none = NOTHING_PRUNED
    assert "8 quasi-random trials, then gp, since" in said(SQUARE, none)
    assert "tpe where more than 20% diverge" in said(SQUARE, none)
    assert "from trial 150 on" in said(SQUARE, none, objectives=2)
    assert "then tpe, since it learns from pruned" in said(SQUARE, Asha())
    assert "then tpe, since the space has branches" in said(BRANCHES, none)
    many = {f"x{i}": {"low": 0.0, "high": 1.0} for i in range(21)}
    assert "24 quasi-random trials, then tpe, since the space has more" in said(many, none)
    space = Known("random", SQUARE).space
    assert choice(space, SearchSettings(sampler="tpe"), objectives=1, pruner=none) is None


def beside_a_wall(config):
    """Half of the square diverges."""
    return bowl(config) if config["x"] < 0.5 else (math.nan,)


@pytest.mark.parametrize(
    ("tree", "objective", "pruner", "then"),
    [
        (SQUARE, bowl, NOTHING_PRUNED, "gp"),
        (SQUARE, beside_a_wall, NOTHING_PRUNED, "tpe"),
        (SQUARE, bowl, Asha(), "tpe"),
        (BRANCHES, bowl, NOTHING_PRUNED, "tpe"),
    ],
)
def test_auto_does_what_it_says(tree, objective, pruner, then):
    """Its first points are those of qmc, and the next is that of the sampler it names."""
    auto, sobol = Known("auto", tree, pruner=pruner), Known("qmc", tree)
    first = 12 if tree is BRANCHES else 8
    auto.run(first, objective)
    sobol.run(first, objective)
    assert auto.configs() == sobol.configs()
    auto.run(12, objective)
    known = auto.reopen()
    settings = SearchSettings(sampler=then)
    known.proposer = proposer(known.space, settings, objectives=1, pruner=pruner)
    assert known.ask() == auto.ask()
