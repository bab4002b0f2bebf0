"""Every way a trial can end, through the whole of a run in this process."""

from __future__ import annotations

import contextlib

import pytest

from hpo.checkpoints import open_checkpoints
from hpo.errors import InputError, StudyConflict, StudyFailed
from hpo.execute.channel import ChannelLost
from hpo.execute.execution import Execution
from hpo.execute.setup import Setup
from hpo.records import State, TrialSpec
from hpo.study import run
from hpo.trainable import FunctionTrainable


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
        ("exit", State.FAILED, "SystemExit: 0"),
        ("unsayable", State.FAILED, "Unsayable: (its text cannot be read)"),
        ("swallow", State.DIVERGED, "a loss or the objective was not finite"),
    ],
)
def test_outcome_of_a_trial(write_study, home, mode, state, reason):
    ended = outcomes(write_study, home, mode)
    assert ended["good"].state is State.COMPLETE
    assert (ended[mode].state, ended[mode].reason) == (state, reason)
    assert ended[mode].value is None


def test_memory_that_torch_does_not_get(write_study, home):
    ended = outcomes(write_study, home, "torch_oom")["torch_oom"]
    assert ended.state is State.OUT_OF_MEMORY and "can't allocate memory" in ended.reason


def test_a_coordinator_that_does_not_answer_is_no_outcome(tmp_path, home):
    class Gone:
        def report(self, number, lease, report):
            raise ConnectionError

    def train(config, trial):
        with contextlib.suppress(Exception):
            trial.report({"loss": 1.0}, step=1)

    folder = home.study("toy")
    setup = Setup("toys:train", tmp_path, folder, open_checkpoints("default", folder, ""))
    trainable, spec = FunctionTrainable(train, None), TrialSpec(0, {}, 0, "")
    with Execution(setup, trainable, spec, Gone()) as execution, pytest.raises(ChannelLost):
        execution.run()


def test_a_process_of_its_own_for_each_trial_means_nothing_in_one_process(write_study, home):
    study = write_study(resources={"isolate": True})
    assert len(run(study, inline=True, home=home).trials) == 8


def test_validators_and_functions_that_change_their_config_change_only_a_copy(
    write_study, home, tmp_path
):
    (tmp_path / "rude.py").write_text(
        "from typing import Any\n"
        "from pydantic import BaseModel, model_validator\n"
        "class Config(BaseModel):\n"
        "    width: int\n"
        "    @model_validator(mode='before')\n"
        "    @classmethod\n"
        "    def double(cls, data: Any) -> Any:\n"
        "        data['width'] = data['width'] * 2\n"
        "        return data\n"
        "def train(config: Config, trial):\n"
        "    return {'loss': float(config.width)}\n"
    )
    study = write_study(
        trainable="rude:train",
        space={"width": {"low": 1, "high": 3}},
        search={"sampler": "grid"},
    )
    result = run(study, inline=True, home=home)
    assert [(t.config["width"], t.value) for t in result.trials] == [(1, 2.0), (2, 4.0), (3, 6.0)]
    assert result.config.width == 2


def test_a_package_named_like_this_project_beside_the_study(write_study, home, tmp_path):
    (tmp_path / "hpo").mkdir()
    (tmp_path / "hpo" / "__init__.py").write_text("raise RuntimeError\n")
    study = write_study(
        trainable="builtin",
        space={"data": {"kind": "sklearn", "name": "iris"}, "model": {"kind": "mlp"}, "epochs": 1},
        objective={"metric": "val_error"},
        search={"sampler": "grid"},
    )
    assert run(study, inline=True, home=home).done


def test_a_record_that_is_gone_is_not_begun_anew(write_study, home):
    study = write_study()
    run(study, inline=True, home=home)
    journal = home.study("toy").journal
    kept = journal.read_bytes()
    journal.write_bytes(b"")
    with pytest.raises(StudyConflict, match="the record of study 'toy' is gone"):
        run(study, inline=True, home=home, trials=9)
    journal.write_bytes(b"\x00garbage")
    with pytest.raises(InputError, match=r"journal\.jsonl:1: the record is damaged"):
        run(study, inline=True, home=home, trials=9)
    assert journal.read_bytes() == b"\x00garbage"
    journal.write_bytes(kept)
    assert run(study, inline=True, home=home).done


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
