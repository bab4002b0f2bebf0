"""The JSON Schema of study files, judged by a validator that is not ours."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from hpo import studyfile
from hpo.errors import StudyFileError
from hpo.schema import study_schema

ROOT = Path(__file__).parents[1]
SHIPPED = sorted((ROOT / "studies").glob("*.yaml"))

GOOD = {
    "name": "good",
    "trainable": "builtin",
    "space": {
        "data": {"kind": "sklearn", "name": "digits"},
        "model": {"kind": "mlp", "widths": {"choices": [[32], [64, 64]]}},
        "epochs": {"low": 5, "high": 20, "step": 5},
        "batch_lr": {"base_lr": {"low": 0.01, "high": 1.0, "log": True}, "rule": "sqrt"},
        "optimizer": {
            "choices": [
                {"kind": "sgd", "momentum": {"low": 0.8, "high": 0.98}},
                {"kind": "adamw", "beta2": {"choices": [0.99, 0.999]}},
            ]
        },
        "regularization": {"l2": {"choices": [None, {"strength": {"low": 1e-6, "high": 0.1}}]}},
        "early_stopping": None,
    },
    "objective": {"metric": "val_error"},
    "search": {"sampler": "tpe", "trials": 5},
}


@pytest.fixture(scope="module")
def validator():
    return Draft202012Validator(study_schema())


def test_the_schema_is_itself_valid_and_json():
    schema = study_schema()
    Draft202012Validator.check_schema(schema)
    assert json.loads(json.dumps(schema, allow_nan=False)) == schema


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_studies_are_accepted(validator, path):
    assert list(validator.iter_errors(YAML(typ="safe").load(path))) == []


def changed(path: str, value: object) -> dict:
    """`GOOD` with another value at a path; `None` as a class: without it."""
    study = copy.deepcopy(GOOD)
    *way, last = path.split(".")
    at = study
    for key in way:
        at = at[int(key)] if isinstance(at, list) else at.setdefault(key, {})
    if value is type(None):
        del at[last]
    else:
        at[last] = value
    return study


CHANGES_ACCEPTED = [
    ("name", "good"),
    ("space.optimizer", {"kind": "sgd"}),
    ("space.model.widths", [{"low": 8, "high": 64}, 8]),
    ("space.clipping", {"norm": {"low": 0.1, "high": 10.0, "log": True}}),
    ("space.data.name", {"choices": ["digits", "wine"]}),
    (
        "space.optimizer.choices.0.momentum",
        {"low": 0.8, "high": 0.999, "log": "complement"},
    ),
    ("space.early_stopping", {"choices": [None, {"patience": {"low": 2, "high": 9}}]}),
    ("objective", [{"metric": "val_error"}, {"metric": "val_loss"}]),
    ("pruner", {"kind": "asha"}),
    ("use", ["warmup"]),
    ("search", {"sampler": "tpe", "trials": 1, "seed": 7}),
    ("resources", {"workers": 2}),
    ("tracking", {"uri": "none"}),
]
CHANGES_REFUSED = [
    ("nmae", "x"),
    ("name", "Not A Name"),
    ("name", type(None)),
    ("space", type(None)),
    ("trainable", type(None)),
    ("objective", type(None)),
    ("search", type(None)),
    ("search.trials", "many"),
    ("search.trials", 0),
    ("search.sampler", "tpee"),
    ("pruner", {"kind": "ahsa"}),
    ("pruner", {"kind": "asha", "steps": 1}),
    ("space.epoch", 3),
    ("space.epochs", "three"),
    ("space.epochs", {"low": 0, "high": 10}),
    ("space.epochs", {"low": 1, "high": 10**7}),
    ("space.epochs", {"low": 1}),
    ("space.epochs", {"low": 1, "high": 10, "stepp": 2}),
    ("space.epochs", {"low": 1, "high": 2.5}),
    ("space.epochs", {"low": 1, "high": 9, "log": "complement"}),
    ("space.optimizer.choices.0.momentum", {"low": 0.8, "high": 0.9, "log": "compliment"}),
    ("objective", []),
    ("objective", ["val_error"]),
    ("space.epochs", {"choices": []}),
    ("space.epochs", {"choices": 3}),
    ("space.model", {"kind": "mlpp"}),
    ("space.model.widths", 8),
    ("space.model.widht", [8]),
    ("space.optimizer", {"kind": "sgd", "momentun": 0.9}),
    ("space.optimizer.choices.0.momentun", 0.9),
    ("space.optimizer.choices.0.momentum", {"low": 0.5, "high": 1.5}),
    ("space.optimizer.choices.1.momentum", 0.9),
    ("space.batch_lr.rule", "cubic"),
    ("space.batch_lr.base_lr", {"low": -1, "high": 1}),
    ("space.regularization.l2", {"strength": -1}),
]


def test_a_good_study_is_accepted(validator):
    assert list(validator.iter_errors(GOOD)) == []


@pytest.mark.parametrize(("path", "value"), CHANGES_ACCEPTED)
def test_accepts(validator, path, value):
    assert list(validator.iter_errors(changed(path, value))) == []


@pytest.mark.parametrize(("path", "value"), CHANGES_REFUSED)
def test_refuses(validator, path, value):
    assert list(validator.iter_errors(changed(path, value))) != []


def loads(study: dict, folder: Path) -> bool:
    path = folder / "s.yaml"
    path.write_text(json.dumps(study))
    try:
        studyfile.load(path)
    except StudyFileError:
        return False
    return True


@pytest.mark.parametrize(
    ("path", "value", "good"),
    [(*c, True) for c in CHANGES_ACCEPTED] + [(*c, False) for c in CHANGES_REFUSED],
)
def test_the_schema_and_the_check_agree(tmp_path, path, value, good):
    assert loads(changed(path, value), tmp_path) is good


def test_what_a_fragment_may_give_is_not_required(validator, tmp_path):
    study = changed("space.optimizer", {"momentum": 0.9})
    assert list(validator.iter_errors(study)) == []
    assert not loads(study, tmp_path), "no fragment says which kind"
    (tmp_path / "sgd.yaml").write_text("optimizer: {kind: sgd}")
    assert loads({**study, "use": ["sgd"]}, tmp_path)


def test_the_space_of_other_trainables_is_any_mapping(validator):
    study = {**GOOD, "trainable": "mine:train", "space": {"anything": {"low": 0, "high": 1}}}
    assert list(validator.iter_errors(study)) == []
    assert list(validator.iter_errors({**study, "space": 3})) != []
