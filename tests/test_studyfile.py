"""Study files: what they say, and every mistake in them at once, each at its place."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from hpo import studyfile
from hpo.errors import InputError, StudyFileError
from hpo.records import Objective

ROOT = Path(__file__).parents[1]
STUDIES = sorted(path.stem for path in (ROOT / "studies").glob("*.yaml"))

GOOD = """\
name: mine
trainable: "trains:train"
space: {x: {low: 0.0, high: 1.0}}
objective: {metric: loss}
search: {sampler: random, trials: 3}
"""

TRAINS = """
from pydantic import BaseModel
class Config(BaseModel):
    x: float = 0.5
    y: int = 1
def train(config: Config, trial): ...
def plain(config, trial): ...
def alone(config): ...
def three(config, trial, more): ...
def keyword(config, trial, *, must): ...
def annotated(config: int, trial): ...
def unknown(config: "Missing", trial): ...
number = 3
"""


@pytest.fixture
def write(tmp_path):
    (tmp_path / "trains.py").write_text(TRAINS)

    def put(text: str, name: str = "s.yaml") -> Path:
        (tmp_path / name).write_text(dedent(text))
        return tmp_path / name

    return put


def mistakes(path: Path, overrides: dict[str, str] | None = None) -> list[str]:
    """Without the folder, which differs from test to test."""
    with pytest.raises(StudyFileError) as caught:
        studyfile.load(path, overrides)
    return [str(m).replace(f"{path.parent}/", "") for m in caught.value.mistakes]


def test_a_good_file(write, tmp_path):
    study = studyfile.load(write(GOOD))
    assert study.name == "mine"
    assert study.objectives == (Objective("loss", "minimize"),)
    assert (study.file.search.sampler, study.file.search.trials, study.file.search.seed) == (
        "random",
        3,
        0,
    )
    assert (study.file.pruner.kind, study.file.tracking.uri) == ("none", "default")
    assert [here.parameter.name for here in study.space.parameters] == ["x"]
    assert study.space.config({"x": 0.25}).y == 1
    assert (study.folder, study.text) == (tmp_path, GOOD)


NO_SECTION = "there is no {!r}; known: name, trainable, use, space, objective, search, pruner,"
LETTERS = "must match ^[a-z0-9_-]{1,64}$"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("name: mine", "name: Mine", f"1:7: name: {LETTERS}, got 'Mine'"),
        ("name: mine", "name: ../up", f"1:7: name: {LETTERS}, got '../up'"),
        ("name: mine", "name: " + "a" * 65, f"1:7: name: {LETTERS}, got '{'a' * 56}..."),
        ("name: mine", "name: 7", "1:7: name: must be text, got 7"),
        ("name: mine\n", "", "1:1: name: is required; add it"),
        ("name: mine", "name: mine\nqqq: 1", "2:1: qqq: " + NO_SECTION.format("qqq")),
        (
            "{metric: loss}",
            "{metric: loss, directoin: maximize}",
            "4:27: objective.directoin: there is no 'directoin'; did you mean 'direction'?",
        ),
        (
            "{metric: loss}",
            "{metric: loss, direction: maximise}",
            "4:38: objective.direction: must be 'minimize' or 'maximize', got 'maximise'; did you"
            " mean 'maximize'?",
        ),
        (
            "{metric: loss}",
            "{metric: test_loss}",
            "4:21: objective.metric: test metrics are computed once, after the search; choose a"
            " validation metric, got 'test_loss'",
        ),
        ("{metric: loss}", "{}", "4:12: objective.metric: is required; add it"),
        (
            "{metric: loss}",
            "loss",
            "4:12: objective: must be {metric: NAME}, or a list of these, got 'loss'",
        ),
        (
            "sampler: random",
            "sampler: randon",
            "5:19: search.sampler: must be 'grid', 'random', 'qmc', 'tpe', 'gp', 'cmaes', 'nsga2'"
            " or 'auto', got 'randon'; did you mean 'random'?",
        ),
        (
            "{sampler: random, trials: 3}",
            "{sampler: tpe}",
            "5:9: search.trials: a study must end; add trials: NUMBER, or a budget:",
        ),
        ("trials: 3", "trials: 0", "5:35: search.trials: must be >= 1, got 0"),
        ("trials: 3", "trials: true", "5:35: search.trials: must be a number, got true"),
        (
            "trials: 3}",
            "trials: 3}\nbudget: {wall_hours: 1, target: true}",
            "6:33: budget.target: must be a number, got true",
        ),
        ("trials: 3", "trials: 2.5", "5:35: search.trials: must be a whole number, got 2.5"),
        ("trials: 3", "trials: 3, seed: -1", "5:44: search.seed: must be >= 0, got -1"),
        (
            "trials: 3}",
            "trials: 3}\npruner: {kind: ahsa}",
            "6:9: pruner: must be one of 'none', 'asha', 'hyperband', 'median', 'percentile',"
            " 'threshold', 'wilcoxon', 'patient', got 'ahsa'; did you mean 'asha'?",
        ),
        (
            "trials: 3}",
            "trials: 3}\npruner: {kind: asha, min_step: 2}",
            "6:22: pruner.min_step: there is no 'min_step'; did you mean 'min_steps'?",
        ),
        (
            "trials: 3}",
            "trials: 3}\npruner: {kind: asha, reduction_factor: 1}",
            "6:40: pruner.reduction_factor: must be >= 2, got 1",
        ),
        (
            "trials: 3}",
            "trials: 3}\nresources: {workers: 0}",
            "6:22: resources.workers: must be >= 1, got 0",
        ),
        (
            "trials: 3}",
            "trials: 3}\ntracking: {uri: localhost}",
            '6:17: tracking.uri: a tracking URI is "default", "none" or starts with a scheme, got',
        ),
        ("{x: {low: 0.0, high: 1.0}}", "null", "3:8: space: must be a mapping, got None"),
        (
            "{x: {low: 0.0, high: 1.0}}",
            "{z: 1}",
            "3:9: space.z: there is no 'z'; known: x, y",
        ),
        (
            "sampler: random",
            "sampler: grid",
            "3:12: space.x: a grid needs finitely many values, got every number from 0.0 to 1.0",
        ),
        ("name: mine", "name: mine\nuse: [1]", "2:7: use.0: must be text, got 1"),
        ("name: mine", "name: mine\nuse: warmup", "2:6: use: must be a list, got 'warmup'"),
        (
            "name: mine",
            "name: mine\nuse: [wramup]",
            "2:7: use.0: there is no search space 'wramup' beside the study file or among",
        ),
        (
            "name: mine",
            "name: mine\nuse: [../secret]",
            "2:7: use.0: there is no search space '../secret' beside the study file or among",
        ),
        ("name: mine", "name: mine\nname: yours", "2:1: name: a key stands once"),
    ],
)
def test_mistake(write, old, new, expected):
    assert old in GOOD
    (found,) = mistakes(write(GOOD.replace(old, new)))
    assert found.startswith(f"s.yaml:{expected}")


def test_a_misspelt_section_is_unknown_and_the_one_meant_is_missing(write):
    assert mistakes(write(GOOD.replace("objective:", "objektive:"))) == [
        "s.yaml:1:1: objective: is required; add it",
        "s.yaml:4:1: objektive: there is no 'objektive'; did you mean 'objective'?",
    ]


def test_a_missing_fragment_names_the_one_that_was_meant(write):
    (found,) = mistakes(write(GOOD + "use: [wramup]"))
    assert found.endswith("did you mean 'warmup'?")


def test_trials_may_be_left_out_for_a_grid(write):
    text = GOOD.replace("sampler: random, trials: 3", "sampler: grid").replace(
        "1.0}", "1, step: 1}"
    )
    assert studyfile.load(write(text)).file.search.trials is None


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("nowhere:train", "'nowhere:train': there is no module 'nowhere'; it is looked up in"),
        ("trains.deep:train", "'trains.deep:train': there is no module 'trains.deep'; it is"),
        ("trains:tran", "'trains:tran': module trains has no 'tran'; it has: BaseModel, Config,"),
        ("trains:number.x", "'trains:number.x': module trains has no 'x'"),
        ("trains", "a trainable is 'builtin' or 'package.module:function', got 'trains'"),
        ("trains:", "a trainable is 'builtin' or 'package.module:function', got 'trains:'"),
        ("bultin", "a trainable is 'builtin' or 'package.module:function', got 'bultin'"),
        (
            "trains:number",
            "'trains:number' must be a function or an instance of hpo.Trainable, got",
        ),
        (
            "trains:Config",
            "'trains:Config' must be a function or an instance of hpo.Trainable, got",
        ),
        ("trains:alone", "'trains:alone' must take (config, trial), its signature is (config)"),
        ("trains:three", "'trains:three' must take (config, trial), its signature is (config, t"),
        ("trains:keyword", "'trains:keyword' must take (config, trial), its signature is (config"),
        ("trains:annotated", "'trains:annotated': its first parameter is annotated <class 'int'>"),
        ("trains:unknown", "'trains:unknown': the annotations of its signature (config: 'Missing'"),
        ("math:hypot", "'math:hypot' must take (config, trial), its signature"),
        ("raises:train", "'raises:train': importing raises failed: ZeroDivisionError: division"),
        ("exits:train", "'exits:train': importing exits failed: SystemExit: 3"),
        ("broken:train", "'broken:train': importing broken failed: SyntaxError: "),
        ("needs:train", "'needs:train': importing needs needs 'not_there', which is not installed"),
    ],
)
def test_a_trainable_that_cannot_be_used(write, reference, expected):
    write("x = 1\n1 / 0\n", "raises.py")
    write("import sys\nsys.exit(3)\n", "exits.py")
    write("def train(:\n", "broken.py")
    write("import not_there\n", "needs.py")
    (found,) = mistakes(write(GOOD.replace("trains:train", reference)))
    assert found.startswith(f"s.yaml:2:12: trainable: {expected}")


def test_an_error_on_import_says_where(write, tmp_path):
    write("x = 1\n1 / 0\n", "raises.py")
    (found,) = mistakes(write(GOOD.replace("trains:train", "raises:train")))
    assert found.endswith("(raises.py:2)")


def test_a_function_without_annotation_takes_any_mapping(write):
    study = studyfile.load(write(GOOD.replace("trains:train", "trains:plain")))
    assert study.trainable.config_type is None
    assert study.space.config({"anything": 1}) == {"anything": 1}


def test_two_folders_may_have_a_module_of_one_name(write, tmp_path):
    first = studyfile.load(write(GOOD))
    other = tmp_path / "other"
    other.mkdir()
    (other / "trains.py").write_text(TRAINS.replace("y: int", "z: int"))
    (other / "s.yaml").write_text(GOOD)
    assert set(studyfile.load(other / "s.yaml").trainable.config_type.model_fields) == {"x", "z"}
    assert set(studyfile.load(write(GOOD)).trainable.config_type.model_fields) == {"x", "y"}
    assert set(first.trainable.config_type.model_fields) == {"x", "y"}


def test_the_metric_must_be_one_that_the_trainable_reports(write):
    text = """\
        name: mine
        trainable: builtin
        space: {data: {kind: sklearn, name: digits}, model: {kind: mlp}}
        objective: {metric: val_eror}
        search: {sampler: random, trials: 3}
        """
    assert mistakes(write(text)) == [
        "s.yaml:4:21: objective.metric: must be one of train_loss, val_error, val_loss, got"
        " 'val_eror'; did you mean 'val_error'?"
    ]


def test_mistakes_of_all_sections_at_once(write):
    text = """\
        name: No
        trainable: "trains:train"
        use: [lower, nowhere]
        space:
          x: {low: 1, high: 0}
        objective: {metric: test_x}
        search: {sampler: tpe, trails: 3}
        pruner: {kind: asha, min_steps: 0}
        resources: {gpus: -1}
        surplus: true
        """
    write("y: one\nz: 2\n", "lower.yaml")
    places = [": ".join(m.split(": ")[:2]) for m in mistakes(write(text))]
    assert places == [
        "lower.yaml:1:4: space.y",
        "lower.yaml:2:1: space.z",
        "s.yaml:1:7: name",
        "s.yaml:3:14: use.1",
        "s.yaml:5:12: space.x",
        "s.yaml:6:21: objective.metric",
        "s.yaml:7:24: search.trails",
        "s.yaml:8:33: pruner.min_steps",
        "s.yaml:9:19: resources.gpus",
        "s.yaml:10:1: surplus",
    ]


def test_fragments_are_merged_in_order_and_the_study_wins(write):
    write("x: 0.1\ny: 2\n", "first.yaml")
    write("y: {low: 1, high: 3}\n", "second.yaml")
    study = studyfile.load(write(GOOD + "use: [first, second]\n"))
    assert study.file.space == {"x": {"low": 0.0, "high": 1.0}, "y": {"low": 1, "high": 3}}
    assert study.file.use == []
    turned = studyfile.load(write(GOOD + "use: [second, first]\n"))
    assert turned.file.space["y"] == 2


def test_a_fragment_beside_the_study_comes_before_a_shipped_one(write, tmp_path):
    write("y: 7\n", "warmup.yaml")
    assert studyfile.load(write(GOOD + "use: [warmup]\n")).file.space["y"] == 7
    (tmp_path / "warmup.yaml").unlink()
    (tmp_path / "search_spaces").mkdir()
    write("y: 8\n", "search_spaces/warmup.yaml")
    assert studyfile.load(write(GOOD + "use: [warmup]\n")).file.space["y"] == 8


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("y: 1\ny: 2", "f.yaml:2:1: y: a key stands once"),
        ("y: .nan", "f.yaml:1:4: y: numbers are finite"),
        ("y: {low: 1, high: 2, stpe: 1}", "f.yaml:1:22: space.y: a range has low, high, log and"),
        ("", "f.yaml:1:1: the file is empty"),
    ],
)
def test_mistakes_in_a_fragment_carry_its_name(write, content, expected):
    write(content, "f.yaml")
    (found,) = mistakes(write(GOOD + "use: [f]\n"))
    assert found.startswith(expected)


@pytest.mark.parametrize(
    ("overrides", "look", "value"),
    [
        ({"search.trials": "9"}, lambda s: s.file.search.trials, 9),
        ({"space.x": "0.5"}, lambda s: s.file.space, {"x": 0.5}),
        ({"space.x.high": "2.0"}, lambda s: s.file.space["x"], {"low": 0.0, "high": 2.0}),
        ({"space.y": "{choices: [1, 2]}"}, lambda s: s.file.space["y"], {"choices": [1, 2]}),
        ({"pruner": "{kind: asha}"}, lambda s: s.file.pruner.kind, "asha"),
        ({"pruner.kind": "asha", "pruner.min_steps": "4"}, lambda s: s.file.pruner.min_steps, 4),
        ({"name": "other"}, lambda s: s.name, "other"),
    ],
)
def test_overrides(write, overrides, look, value):
    assert look(studyfile.load(write(GOOD), overrides)) == value


@pytest.mark.parametrize(
    ("target", "text", "expected"),
    [
        ("search.trials", "many", "search.trials: must be a whole number, got 'many'"),
        ("search.trails", "3", "search.trails: there is no 'trails'; did you mean 'trials'?"),
        ("space.z", "1", "space.z: there is no 'z'; known: x, y"),
        ("space.0", "1", "space.0: there is no '0'; known: x, y"),
        ("0", "1", "0: there is no '0'; known: name"),
        ("name.first", "x", "name.first: leads through something that has no such part"),
        ("", "x", "leads through something that has no such part"),
        ("space..x", "1", "space..x: leads through something that has no such part"),
        ("space.x", "[1", "space.x: this is not YAML: "),
        ("space.x", "", "space.x: the file is empty"),
        ("space.x", "{low: 2, high: 1}", "space.x: low < high must hold, got low=2, high=1"),
    ],
)
def test_bad_overrides_are_named(write, target, text, expected):
    (found,) = mistakes(write(GOOD), {target: text})
    assert found.startswith(f"--set {target}={text}:1:1: {expected}")


@pytest.mark.parametrize("text", ["[]", "just text", "3"])
def test_what_is_no_mapping_is_no_study(write, text):
    assert mistakes(write(text))[0].startswith("s.yaml:1:1: must be a mapping, got")


@pytest.mark.parametrize("name", STUDIES)
def test_shipped_studies_load_by_name_and_by_path(name):
    by_name, by_path = studyfile.load(name), studyfile.load(ROOT / "studies" / f"{name}.yaml")
    assert by_name.file == by_path.file
    assert by_name.name == name
    assert by_name.space.parameters


def test_a_study_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="there is no study file 'digist'; did you mean 'digits'"):
        studyfile.load("digist")
    with pytest.raises(InputError, match=r"there is no study file .*nothing\.yaml"):
        studyfile.load(tmp_path / "nothing.yaml")


@pytest.mark.parametrize("pack", [0, -1, 1.5, "on", None])
def test_a_pack_has_one_message(write_study, pack):
    with pytest.raises(StudyFileError) as told:
        studyfile.load(write_study(resources={"pack": pack}))
    (mistake,) = told.value.mistakes
    assert "pack must be off, auto or a whole number from 1 to 65536, got " in str(mistake)
