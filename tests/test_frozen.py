"""A study of a name goes on as it was, or not at all."""

from __future__ import annotations

import json

import pytest
from ruamel.yaml import YAML

from hpo import frozen, studyfile
from hpo.errors import InputError, StudyConflict
from hpo.records import Outcome, State
from hpo.search import grid
from hpo.search.record import Record
from hpo.search.samplers import proposer


@pytest.fixture
def freeze(write_study, home):
    def put(**changes):
        study = studyfile.load(write_study(**changes))
        return frozen.freeze(study, home.study(study.name))

    return put


def finish_one(home, state=State.COMPLETE):
    folder = home.study("toy")
    study = frozen.thaw(folder)
    record = Record(folder.journal, study.objective, study.file.pruner.make())
    trial = record.ask(proposer(study.space, study.file.search), study.space)
    if state is not State.RUNNING:
        record.finish(trial.number, Outcome(state), 0.1 if state is State.COMPLETE else None)


SEARCH = {"sampler": "tpe", "trials": 8, "seed": 0}


def test_the_same_study_continues(freeze, home):
    first = freeze()
    finish_one(home)
    journal = home.study("toy").journal.read_bytes()
    assert freeze() == first
    assert home.study("toy").journal.read_bytes() == journal


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"space": {"x": {"low": 0, "high": 0.5}}}, "space.x.high: 1 -> 0.5"),
        ({"space": {"x": 0.5}}, 'space.x: {"low": 0, "high": 1} -> 0.5'),
        (
            {"space": {"x": {"low": 0, "high": 1}, "nap": 0.0}},
            "space.nap: (absent) -> 0.0",
        ),
        ({"space": {}}, 'space.x: {"low": 0, "high": 1} -> (absent)'),
        ({"search": SEARCH | {"sampler": "random"}}, 'search.sampler: "tpe" -> "random"'),
        ({"search": SEARCH | {"seed": 1}}, "search.seed: 0 -> 1"),
        ({"objective": {"metric": "gap"}}, 'objective.metric: "loss" -> "gap"'),
        (
            {"objective": {"metric": "loss", "direction": "maximize"}},
            'objective.direction: "minimize" -> "maximize"',
        ),
        ({"pruner": {"kind": "asha"}}, 'pruner.kind: "none" -> "asha"'),
        ({"trainable": "toys:environment"}, 'trainable: "toys:train" -> "toys:environment"'),
    ],
)
@pytest.mark.parametrize("state", [State.COMPLETE, State.FAILED])
def test_another_study_of_that_name_is_refused(freeze, home, changes, shown, state):
    first = freeze()
    finish_one(home, state)
    spec = home.study("toy").spec.read_text()
    with pytest.raises(StudyConflict) as refused:
        freeze(**changes)
    assert refused.value.message.startswith("there is a study 'toy' with other settings:\n")
    assert f"  {shown}" in refused.value.message.splitlines()
    assert home.study("toy").spec.read_text() == spec
    assert freeze() == first


def test_all_differences_are_shown(freeze, home):
    freeze()
    finish_one(home)
    with pytest.raises(StudyConflict) as refused:
        freeze(search=SEARCH | {"seed": 3, "sampler": "random"}, objective={"metric": "gap"})
    assert refused.value.message.splitlines()[1:] == [
        '  objective.metric: "loss" -> "gap"',
        '  search.sampler: "tpe" -> "random"',
        "  search.seed: 0 -> 3",
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"search": SEARCH | {"trials": 80}},
        {"search": SEARCH | {"trials": 1}},
        {"resources": {"workers": 3, "cpus": 2}},
        {"tracking": {"uri": "http://localhost:1", "experiment": "other"}},
        {"pruner": {"kind": "none"}},
    ],
)
def test_what_may_change(freeze, home, changes):
    first = freeze()
    finish_one(home)
    assert freeze(**changes).id == first.id
    thawed = frozen.thaw(home.study("toy"))
    for section, values in changes.items():
        dumped = getattr(thawed.file, section).model_dump()
        assert {key: dumped[key] for key in values} == values


@pytest.mark.parametrize("state", [None, State.RUNNING])
def test_a_study_without_a_finished_trial_may_be_redefined(freeze, home, state):
    first = freeze()
    folder = home.study("toy")
    if state is not None:
        finish_one(home, state)
        folder.checkpoint(0).mkdir(parents=True)
    second = freeze(objective={"metric": "gap"})
    assert second.id != first.id and second.objective.metric == "gap"
    assert not folder.journal.exists() and not folder.trial(0).exists()
    finish_one(home)
    assert freeze(objective={"metric": "gap"}).id == second.id


def test_a_thawed_study_is_the_frozen_one(freeze, home, write_study):
    path = write_study()
    path.write_text(path.read_text() + "\n")
    study = studyfile.load(path, {"search.trials": "11"})
    frozen.freeze(study, home.study("toy"))
    thawed = frozen.thaw(home.study("toy"))
    assert thawed.file == study.file and thawed.file.search.trials == 11
    assert thawed.space.root == study.space.root
    assert (thawed.text, thawed.folder) == (study.text, study.folder.resolve())
    assert home.study("toy").study_file.read_text() == path.read_text()


def test_fragments_are_not_read_again(write_study, home, tmp_path):
    (tmp_path / "part.yaml").write_text("nap: 0.0")
    frozen.freeze(studyfile.load(write_study(use=["part"])), home.study("toy"))
    (tmp_path / "part.yaml").unlink()
    assert frozen.thaw(home.study("toy")).file.space["nap"] == 0.0


def test_the_order_of_keys_in_the_file_changes_nothing(write_study, home, tmp_path):
    """A grid counts its points in the order of the keys."""
    x, nap = {"choices": [0.0, 0.5]}, {"choices": [0.0, 0.1, 0.2]}
    search = {"sampler": "grid"}
    first = studyfile.load(write_study(space={"x": x, "nap": nap}, search=search))
    turned = studyfile.load(write_study(space={"nap": nap, "x": x}, search=search))
    points = [[grid.point(s.space.root, i).config for i in range(6)] for s in (first, turned)]
    assert points[0] != points[1]
    frozen.freeze(first, home.study("toy"))
    finish_one(home)
    frozen.freeze(turned, home.study("toy"))
    thawed = frozen.thaw(home.study("toy"))
    assert [grid.point(thawed.space.root, i).config for i in range(6)] == points[0]


def test_a_study_that_is_not_there(home):
    with pytest.raises(InputError, match="there is no study 'toy'"):
        frozen.thaw(home.study("toy"))


def test_a_study_of_another_version_is_left_alone(freeze, home):
    freeze()
    folder = home.study("toy")
    folder.spec.write_text(json.dumps({**json.loads(folder.spec.read_text()), "schema": 99}))
    with pytest.raises(InputError, match="has schema 99, this version reads 1"):
        frozen.thaw(folder)
    with pytest.raises(InputError, match="has schema 99, this version reads 1"):
        freeze()


def test_a_study_whose_function_is_gone_says_so(freeze, home, tmp_path):
    freeze()
    (tmp_path / "toys.py").write_text("")
    import sys

    del sys.modules["toys"]
    with pytest.raises(InputError, match="module toys has no 'train'"):
        frozen.thaw(home.study("toy"))


def test_the_study_file_is_kept_as_it_was_written(write_study, home):
    path = write_study()
    text = "# ümlaut: a comment\n" + path.read_text()
    path.write_text(text, encoding="utf-8")
    frozen.freeze(studyfile.load(path), home.study("toy"))
    kept = home.study("toy").study_file
    assert kept.read_bytes() == path.read_bytes()
    assert YAML(typ="safe").load(kept)["name"] == "toy"
