"""The best config on its way out: rendered, typed, moved to another batch size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

import hpo
from hpo.errors import InputError
from hpo.home import Home
from hpo.records import Objective
from hpo.report.kept import Kept, KeptTrial, kept_of, read_kept, write_kept
from hpo.reuse.best import answer, move, render
from hpo.reuse.loading import load_best
from hpo.trainable import Scale

ROOT = Path(__file__).parents[2]

CONFIG = {
    "epochs": 20,
    "lr": 1e-05,
    "rule": "linear",
    "nesterov": True,
    "off": False,
    "penalty": None,
    "widths": [128, 64],
    "note": 'it\'s "quoted" $HOME `x` \\n',
    "lines": "a\nb: c\n",
    "yes": "yes",
    "number": "1e3",
    "optimizer": {"kind": "sgd", "beta-2": 0.999, "größe": 3},
}


def make_trial(number: int = 3, values: tuple[float, ...] = (0.125,), **changes) -> KeptTrial:
    return KeptTrial(
        **{
            "trial": number,
            "values": values,
            "metrics": {"loss": values[0]},
            "test": {"test_loss": 0.25},
            "config": {"x": 0.25, "mode": "good"},
            **changes,
        }
    )


def make_kept(*best: KeptTrial, **changes) -> Kept:
    values = {
        "study": "toy",
        "trials": 8,
        "complete": True,
        "objectives": (Objective("loss"),),
        "trainable": "toys:train",
        "folder": ".",
        "best": list(best) or [make_trial()],
        **changes,
    }
    return Kept(**values)


TWO = (Objective("loss"), Objective("speed", "maximize"))
FRONT = [
    make_trial(3, (0.125, 10.0)),
    make_trial(7, (0.5, 40.0), config={"x": 0.75, "mode": "good"}),
]


@pytest.fixture
def keep(home, write_study, tmp_path):
    """Writes a best config as a finished run does."""
    write_study()

    def put(*best: KeptTrial, **changes) -> Kept:
        kept = make_kept(*best, **{"folder": str(tmp_path), **changes})
        folder = home.study(kept.study)
        write_kept(kept, folder)
        folder.spec.write_text("{}")
        return kept

    return put


def shell_variables(text: str) -> dict[str, str]:
    """The variables as a POSIX shell understands them."""
    names = [line.partition("=")[0] for line in text.splitlines() if line.startswith("HPO__")]
    show = "".join(f"printf '%s\\0' \"${name}\"\n" for name in names)
    ran = subprocess.run(
        ["sh", "-eu", "-c", f"{text}\n{show}"], capture_output=True, check=True, env={}
    )
    return dict(zip(names, ran.stdout.decode().split("\0")[:-1], strict=True))


def test_yaml_and_json_parse_back_to_the_config():
    assert YAML(typ="safe").load(render(CONFIG, "yaml")) == CONFIG
    assert json.loads(render(CONFIG, "json")) == CONFIG


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("ab_-. #'é", min_size=1, max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=100, deadline=None)
@example({"a": {"-._": None}})
@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), JSON, max_size=3))
def test_any_config_survives_yaml_and_json(config):
    for found in (
        YAML(typ="safe").load(render(config, "yaml")),
        json.loads(render(config, "json")),
    ):
        assert json.dumps(found or {}) == json.dumps(config)


def test_a_shell_reads_the_env_format():
    assert shell_variables(render(CONFIG, "env")) == {
        "HPO__EPOCHS": "20",
        "HPO__LR": "1e-05",
        "HPO__RULE": "linear",
        "HPO__NESTEROV": "true",
        "HPO__OFF": "false",
        "HPO__PENALTY": "",
        "HPO__WIDTHS": "[128, 64]",
        "HPO__NOTE": CONFIG["note"],
        "HPO__LINES": CONFIG["lines"],
        "HPO__YES": "yes",
        "HPO__NUMBER": "1e3",
        "HPO__OPTIMIZER__KIND": "sgd",
        "HPO__OPTIMIZER__BETA_2": "0.999",
        "HPO__OPTIMIZER__GR__E": "3",
    }


@settings(max_examples=30, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20))
def test_any_text_survives_the_shell(text):
    assert shell_variables(render({"text": text}, "env")) == {"HPO__TEXT": text}


def test_what_is_written_is_read(keep, home):
    kept = keep()
    assert read_kept(home.study("toy")) == kept
    assert kept_of("toy", home) == kept
    assert kept.objectives == (Objective("loss", "minimize"),)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 1e300, -0.0])
def test_numbers_of_every_size_survive(keep, home, value):
    keep(make_trial(metrics={"loss": 0.1, "ratio": value}))
    found = read_kept(home.study("toy"))
    assert found is not None and repr(found.one().metrics["ratio"]) == repr(value)


def test_load_best_is_typed(keep, home, tmp_path):
    keep()
    config = load_best("toy", home.root)
    assert type(config).__name__ == "Config" and type(config).__module__ == "toys"
    assert (config.x, config.mode, config.nap) == (0.25, "good", 0.0)


def test_load_best_is_a_dict_where_the_trainable_takes_dicts(keep, home):
    keep(make_trial(config={"log": "x", "deep": {"y": [1]}}), trainable="toys:environment")
    assert load_best("toy", home.root) == {"log": "x", "deep": {"y": [1]}}


def test_load_best_finds_the_home_by_itself(keep, home, monkeypatch):
    keep()
    monkeypatch.setenv("HPO_HOME", str(home.root))
    assert hpo.load_best("toy").x == 0.25


def test_load_best_needs_neither_ray_nor_optuna_nor_mlflow(keep, home):
    config = {
        "data": {"kind": "sklearn", "name": "digits"},
        "model": {"kind": "mlp"},
        "batch_lr": {"batch_size": 128, "base_lr": 0.2},
    }
    keep(make_trial(config=config), trainable="builtin")
    code = (
        "import sys, hpo\n"
        "config = hpo.load_best('toy')\n"
        "print(config.batch_lr.learning_rate)\n"
        "print([m for m in ('ray', 'optuna', 'mlflow', 'torch') if m in sys.modules])"
    )
    env = {**os.environ, "HPO_HOME": str(home.root), "PYTHONPATH": str(ROOT)}
    ran = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert (ran.stdout.splitlines(), ran.stderr) == (["0.1", "[]"], "")


def test_a_study_without_a_complete_trial_has_no_best(keep, home):
    keep()
    home.study("toy").best.unlink()
    assert read_kept(home.study("toy")) is None
    with pytest.raises(InputError, match="no trial of study 'toy' is complete"):
        load_best("toy", home.root)


def test_a_study_that_is_not_there_names_those_that_are(keep, home):
    with pytest.raises(InputError) as refused:
        kept_of("other", Home(home.root / "empty"))
    assert "set HPO_HOME" in refused.value.hint
    keep()
    with pytest.raises(InputError) as refused:
        kept_of("other", home)
    assert refused.value.hint == "there are: toy"
    with pytest.raises(InputError, match="a study's name is"):
        kept_of("../toy", home)


def test_a_file_that_is_too_large_is_not_read(keep, home, monkeypatch):
    keep()
    monkeypatch.setattr("hpo.report.kept.MAX_BYTES", home.study("toy").best.stat().st_size - 1)
    with pytest.raises(InputError, match=r"best\.json is damaged"):
        kept_of("toy", home)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"study": "toy"}', '{"schema_version": 3}', "\x00", "null"]
)
def test_a_damaged_file_is_named(keep, home, text):
    keep()
    home.study("toy").best.write_text(text)
    assert read_kept(home.study("toy")) is None
    with pytest.raises(InputError, match=r"best\.json is damaged") as refused:
        kept_of("toy", home)
    assert "run the study again" in refused.value.hint


def test_a_file_of_another_version_or_with_more_in_it_is_refused(keep, home):
    keep()
    path = home.study("toy").best
    good = json.loads(path.read_text())
    for changes in (
        {"schema_version": 1},
        {"surplus": 1},
        {"best": []},
        {"objectives": []},
        {"objectives": good["objectives"] * 2},
        {"best": good["best"] * 2},
    ):
        path.write_text(json.dumps({**good, **changes}))
        with pytest.raises(InputError, match="damaged"):
            kept_of("toy", home)


BUILTIN = {
    "data": {"kind": "sklearn", "name": "digits"},
    "model": {"kind": "mlp"},
    "epochs": 20,
    "batch_lr": {"batch_size": 64, "base_lr": 0.1, "rule": "linear"},
}


def moved(config: dict, batch_size: int) -> tuple[dict, list[str]]:
    kept = make_kept(make_trial(config=config), trainable="builtin")
    there, changes = move(kept, Scale(batch_size))
    return there.config, changes


@pytest.mark.parametrize(
    ("rule", "rate"), [("linear", "0.025 -> 0.1"), ("sqrt", "0.05 -> 0.1"), ("none", None)]
)
def test_a_config_moves_to_another_batch_size_by_its_own_rule(rule, rate):
    config = {**BUILTIN, "batch_lr": {**BUILTIN["batch_lr"], "rule": rule}}
    before = json.dumps(config)
    there, changes = moved(config, 256)
    assert there == {**config, "batch_lr": {**config["batch_lr"], "batch_size": 256}}
    expected = ["batch_lr.batch_size: 64 -> 256"]
    assert changes == expected + ([f"learning_rate: {rate}"] if rate else [])
    assert json.dumps(config) == before, "what is kept does not change"


def test_moving_there_and_back_changes_nothing():
    there, _ = moved(BUILTIN, 512)
    back, changes = moved(there, 64)
    assert back == BUILTIN and len(changes) == 2


@pytest.mark.parametrize(
    ("trainable", "batch_size", "match"),
    [("builtin", 0, r"batch_lr\.batch_size: "), ("toys:train", 32, "no rule that couples")],
)
def test_what_cannot_be_moved_is_refused(write_study, tmp_path, trainable, batch_size, match):
    write_study()
    kept = make_kept(make_trial(config=BUILTIN), trainable=trainable, folder=str(tmp_path))
    with pytest.raises(InputError, match=match):
        move(kept, Scale(batch_size))


def test_with_several_objectives_a_trial_must_be_chosen(keep, home):
    kept = keep(*FRONT, objectives=TWO)
    assert read_kept(home.study("toy")) == kept
    with pytest.raises(InputError) as refused:
        load_best("toy", home.root)
    assert "several objectives (loss, speed)" in refused.value.message
    assert refused.value.hint == (
        "choose one: --trial N, or load_best(..., trial=N)\n"
        "  trial 3: loss 0.125, speed 10\n  trial 7: loss 0.5, speed 40"
    )
    assert load_best("toy", home.root, trial=7).x == 0.75
    with pytest.raises(InputError, match="trial 5 is not among the best of study 'toy'"):
        load_best("toy", home.root, trial=5)


def test_a_set_of_one_must_be_chosen_from_as_well():
    with pytest.raises(InputError, match="your choice"):
        make_kept(FRONT[0], objectives=TWO).one()


def test_with_one_objective_only_the_best_can_be_asked_for(keep, home):
    keep()
    assert load_best("toy", home.root, trial=3).x == 0.25
    with pytest.raises(InputError, match="trial 4 is not among the best") as refused:
        load_best("toy", home.root, trial=4)
    assert "trial 3: loss 0.125" in refused.value.hint


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_the_set_is_listed_ready_to_parse(form):
    text, said = answer(make_kept(*FRONT, objectives=TWO), form)
    assert YAML(typ="safe").load(text) == [
        {
            "trial": 3,
            "values": {"loss": 0.125, "speed": 10.0},
            "config": {"x": 0.25, "mode": "good"},
        },
        {
            "trial": 7,
            "values": {"loss": 0.5, "speed": 40.0},
            "config": {"x": 0.75, "mode": "good"},
        },
    ]
    assert said == ["2 trials; --trial N prints the config of one"]


def test_what_is_about_one_config_needs_one_to_be_chosen():
    kept = make_kept(*FRONT, objectives=TWO)
    for asked in ({"form": "env"}, {"form": "yaml", "to": Scale(32)}):
        with pytest.raises(InputError, match="your choice"):
            answer(kept, **asked)
    assert shell_variables(answer(kept, "env", trial=7)[0]) == {
        "HPO__X": "0.75",
        "HPO__MODE": "good",
    }


def test_one_config_is_written_alone_and_a_move_says_what_changed():
    kept = make_kept(make_trial(config=BUILTIN), trainable="builtin")
    assert answer(kept, "json") == (render(BUILTIN, "json"), [])
    _, said = answer(kept, "json", to=Scale(64))
    assert said == ["nothing changed"]
    _, said = answer(kept, "json", trial=3, to=Scale(128, epochs=40, workers=4))
    assert said[:3] == [
        "epochs: 20 -> 40",
        "batch_lr.batch_size: 64 -> 128",
        "learning_rate: 0.025 -> 0.05",
    ]
    assert said[3].startswith("each of 4 workers takes 32 rows")
    assert said[4].startswith("rule linear assumes")
    assert said[5].startswith("warmup and schedule are shares of all steps")
