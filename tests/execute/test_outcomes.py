"""Every way a trial can end, through the whole of a run in this process."""

from __future__ import annotations

import pytest

from hpo.errors import InputError, StudyFailed
from hpo.records import State
from hpo.study import run


def outcomes(write_study, home, mode, trials=3):
    space = {"x": {"low": 0, "high": 1}, "mode": {"choices": ["good", mode]}}
    study = write_study(space=space, search={"sampler": "grid", "trials": None})
    study.write_text(study.read_text().replace('"high": 1', '"high": 1, "step": 0.5'))
    return {t.config["mode"]: t for t in run(study, inline=True, home=home).trials}


@pytest.mark.parametrize(
    ("mode", "state", "reason"),
    [
        ("raise", State.FAILED, "ValueError: a bad day"),
        ("nan", State.DIVERGED, "a loss or the objective was not finite"),
        ("late_nan", State.DIVERGED, "a loss or the objective was not finite"),
        ("silent", State.FAILED, "the trainable neither reported nor returned a metric"),
        ("text", State.FAILED, "HpoError: metric 'loss' must be a number, got 'low' (str)"),
        ("oom", State.OUT_OF_MEMORY, "MemoryError: no room"),
    ],
)
def test_outcome_of_a_trial(write_study, home, mode, state, reason):
    ended = outcomes(write_study, home, mode)
    assert ended["good"].state is State.COMPLETE
    assert (ended[mode].state, ended[mode].reason) == (state, reason)
    assert ended[mode].value is None


def test_traceback_is_kept(write_study, home):
    failed = outcomes(write_study, home, "raise")["raise"]
    text = home.study("toy").traceback(failed.number).read_text()
    assert "toys.py" in text and "a bad day" in text


def test_diverged_trial_stops_in_that_step(write_study, home):
    assert outcomes(write_study, home, "late_nan")["late_nan"].steps == 3


def test_study_stops_when_the_objective_is_never_reported(write_study, home):
    with pytest.raises(InputError, match=r"'accuracy'.*in its first report .*loss"):
        run(write_study(objective={"metric": "accuracy"}), inline=True, home=home)
    with pytest.raises(InputError, match=r"in what it returned .*accuracy"):
        run(write_study(space={"mode": "elsewhere"}), inline=True, home=home)
    assert run(write_study(), inline=True, home=home).done  # and the mended one runs


def test_study_without_any_complete_trial_fails_with_the_most_frequent_reason(write_study, home):
    with pytest.raises(StudyFailed, match=r"none of 8 .*8x.*ValueError: a bad day"):
        run(write_study(space={"mode": "raise"}), inline=True, home=home)


def test_running_again_runs_nothing_again(write_study, home, tmp_path):
    log = tmp_path / "log"
    study = write_study(space={"x": {"low": 0, "high": 1}, "log": str(log)})
    first = run(study, inline=True, home=home)
    again = run(study, inline=True, home=home)
    assert again == first
    assert len(log.read_text().splitlines()) == 8


def test_more_trials_continue_the_study(write_study, home):
    study = write_study()
    few = run(study, inline=True, home=home)
    more = run(study, inline=True, home=home, trials=12)
    assert more.trials[:8] == few.trials
    assert [t.number for t in more.trials] == list(range(12))


def test_user_code_that_catches_exceptions_does_not_catch_the_end_of_its_trial(
    write_study, home, tmp_path
):
    (tmp_path / "stubborn.py").write_text(
        "def train(config, trial):\n"
        "    for step in range(1, 50):\n"
        "        try:\n"
        "            trial.report({'loss': config['x'] + step}, step=step)\n"
        "        except Exception:\n"
        "            pass\n"
    )
    study = write_study(
        trainable="stubborn:train",
        space={"x": {"low": 0.0, "high": 1.0}},
        pruner={"kind": "asha", "reduction_factor": 2},
    )
    ended = run(study, inline=True, home=home).trials
    assert {t.state for t in ended} == {State.COMPLETE, State.PRUNED}
    assert all(t.steps < 49 for t in ended if t.state is State.PRUNED)
