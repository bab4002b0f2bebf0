"""Proposals: valid, counted, repeatable, and away from where trials diverged."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, model_validator
from spaces import Point, Search

from hpo.errors import StudyFailed
from hpo.records import Outcome, State
from hpo.search.samplers import ATTEMPTS

SQUARE = {"x": {"low": 0.0, "high": 1.0}, "y": {"low": 0.0, "high": 1.0}}


@pytest.mark.parametrize("kind", ["random", "tpe"])
def test_no_invalid_config_is_proposed_and_every_draw_is_counted(tmp_path, monkeypatch, kind):
    search = Search(tmp_path / "journal", kind, SQUARE, model=Point)
    judged = []
    rejects = type(search.space).rejects

    def counting(self, data):
        judged.append(rejects(self, data))
        return judged[-1]

    monkeypatch.setattr(type(search.space), "rejects", counting)
    search.run(30)
    assert all(t.config["x"] + t.config["y"] <= 1 for t in search.record.trials())
    drawn = len(judged)
    assert search.record.draws == drawn > 30
    assert judged.count(None) == 30
    assert Search(tmp_path / "journal", kind, SQUARE, model=Point).record.draws == drawn


class Moody(BaseModel):
    """Accepts everything, until it does not."""

    x: float

    @model_validator(mode="after")
    def _never(self) -> Moody:
        if MOOD:
            raise ValueError("not today")
        return self


MOOD: list[str] = []


@pytest.mark.parametrize("kind", ["random", "tpe"])
def test_a_space_that_cannot_be_satisfied_fails_in_the_validators_words(tmp_path, kind):
    search = Search(tmp_path / "journal", kind, {"x": {"low": 0.0, "high": 1.0}}, model=Moody)
    search.run(12)
    before = search.story()
    MOOD.append("bad")
    try:
        with pytest.raises(StudyFailed) as failed:
            search.ask()
    finally:
        MOOD.clear()
    assert failed.value.message == (
        f"no valid config was found in {ATTEMPTS} draws; the last was rejected: not today"
    )
    again = Search(tmp_path / "journal", kind, {"x": {"low": 0.0, "high": 1.0}}, model=Moody)
    assert again.story() == before, "a trial without a config is none"
    assert again.ask().number == 12


@pytest.mark.parametrize("kind", ["random", "tpe"])
def test_draws_lie_in_their_ranges(tmp_path, kind):
    search = Search(tmp_path / "journal", kind)
    search.run(40)
    for trial in search.record.trials():
        config = trial.config
        assert 1e-4 <= config["lr"] <= 1.0
        assert config["width"] in range(8, 65, 8) and isinstance(config["width"], int)
        assert config["act"] in ("relu", "tanh")
        optimizer = config["optimizer"]
        if optimizer["kind"] == "sgd":
            assert 0 <= optimizer["momentum"] <= 0.9 and set(trial.params) == {
                *("lr", "width", "act", "optimizer", "optimizer.sgd.momentum")
            }
        else:
            assert optimizer == {"kind": "adam", "beta": optimizer["beta"], "eps": 1e-8}
    seen = [t.config["optimizer"]["kind"] for t in search.record.trials()]
    assert {"sgd", "adam"} == set(seen)


@pytest.mark.parametrize("kind", ["random", "tpe"])
def test_steps_give_values_as_they_would_be_written(tmp_path, kind):
    tree = {"x": {"low": 0.1, "high": 0.9, "step": 0.1}}
    search = Search(tmp_path / "journal", kind, tree)
    search.run(40)
    seen = {t.config["x"] for t in search.record.trials()}
    assert seen <= {k / 10 for k in range(1, 10)} and len(seen) > 5


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**63 - 1))
def test_a_trial_is_drawn_from_the_seed_and_its_number_alone(tmp_path_factory, seed):
    folder = tmp_path_factory.mktemp("seeds")
    one, other = (Search(folder / name, "random", seed=seed) for name in "ab")
    one.run(4)
    for _ in range(4):  # nothing is finished in between
        other.ask()
    assert [t.config for t in one.record.trials()] == [t.config for t in other.record.trials()]


def test_tpe_learns(tmp_path):
    """The best of 40 trials on a bowl, against random draws: by far nearer, for every seed."""
    tree = {name: {"low": -1.0, "high": 1.0} for name in "ab"}

    def nearest(kind, seed):
        search = Search(tmp_path / f"{kind}{seed}", kind, tree, seed=seed)
        for _ in range(40):
            trial = search.ask()
            value = sum((v - 0.3) ** 2 for v in trial.config.values())
            search.record.finish(trial.number, Outcome(State.COMPLETE), value)
        values = [t.value for t in search.record.trials()[20:]]
        return sum(values) / len(values)

    for seed in range(3):
        assert nearest("tpe", seed) < 0.5 * nearest("random", seed)


def test_tpe_keeps_away_from_where_trials_diverged(tmp_path):
    """Above x = 0.5 every trial diverges, though the objective falls up to there.

    Told as failed, they are ignored, and the sampler goes on walking into the wall.
    """

    def share_over_the_wall(told):
        over = 0
        for seed in range(3):
            search = Search(
                tmp_path / f"{told}{seed}", "tpe", {"x": {"low": 0.0, "high": 1.0}}, seed=seed
            )
            for number in range(40):
                trial = search.ask()
                x = trial.config["x"]
                if x > 0.5:
                    search.record.finish(trial.number, Outcome(told), None)
                    over += number >= 15
                else:
                    search.record.finish(trial.number, Outcome(State.COMPLETE), 1 - x)
        return over / (3 * 25)

    assert share_over_the_wall(State.DIVERGED) < 0.6 * share_over_the_wall(State.FAILED)


def test_a_grid_proposes_in_its_order_whatever_the_seed(tmp_path):
    tree = {"x": {"choices": [1, 2]}, "y": {"choices": [3, 4]}}
    for seed in (0, 1):
        search = Search(tmp_path / str(seed), "grid", tree, seed=seed)
        search.run(9)
        found = [tuple(t.config.values()) for t in search.record.trials()]
        assert found == [(1, 3), (1, 4), (2, 3), (2, 4)]
