"""How people name a result."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import hpo
from hpo import frozen, studyfile
from hpo.bundle import newest, open_bundle, write_bundle
from hpo.errors import InputError
from hpo.home import Home
from hpo.reuse.references import Reference, tracked_at
from hpo.spec import SCHEMA


def test_a_name_an_alias_and_a_folder():
    assert Reference.parse("digits") == Reference(name="digits")
    assert Reference.parse("digits@champion") == Reference(name="digits", alias="champion")
    for folder in ("./digits", "/tmp/b", "a/b", Path("digits"), "..", "a/x@y"):
        assert Reference.parse(folder) == Reference(folder=Path(folder))


@pytest.mark.parametrize(
    "text", ["", "Digits", "digits@", "digits@a@b", "digits@V1", "@champion", None, 5, b"digits"]
)
def test_anything_else_is_refused(text):
    with pytest.raises(InputError):
        Reference.parse(text)


def test_a_bundle_is_read_offline_from_its_folder(done):
    folder = newest(done.study("iris").bundles)
    for reference in (folder, str(folder)):
        assert hpo.load_best(reference, done) == hpo.load_best("iris", done)
        assert not hpo.load_model(reference, done).training
    with pytest.raises(InputError, match="is no bundle"):
        hpo.load_best(folder.parent, done)


def test_a_study_without_a_bundle_says_when_it_leaves_one(write_study, home):
    frozen.freeze(studyfile.load(write_study()), home)
    with pytest.raises(InputError, match="has left no bundle"):
        hpo.load_model("toy", home)


def test_a_study_that_is_not_there_is_told(home):
    with pytest.raises(InputError, match="there is no study 'iris'"):
        hpo.load_model("iris", home)


@pytest.mark.parametrize(
    ("text", "words"),
    [(json.dumps({"schema": SCHEMA}), "is damaged"), ('{"schema": 99}', "has schema 99")],
)
def test_a_spec_that_cannot_be_read_is_told(done, tmp_path, text, words):
    home = Home(tmp_path / "home")
    home.study("iris").root.mkdir(parents=True)
    home.study("iris").spec.write_text(text)
    with pytest.raises(InputError, match=words):
        tracked_at("iris", home)
    with pytest.raises(InputError, match=words):
        hpo.load_best(newest(done.study("iris").bundles), home)


@pytest.fixture
def copied(done, tmp_path):
    """Another home with the study iris, to be changed."""
    shutil.copytree(done.root, tmp_path / "home")
    return Home(tmp_path / "home")


def test_the_best_of_a_study_that_is_done_is_its_bundle_s(copied):
    folder = copied.study("iris")
    path = newest(folder.bundles) / "bundle.json"
    kept = json.loads(folder.best.read_text())
    right = kept["best"][0]["config"]["epochs"]
    kept["best"][0]["config"]["epochs"] = 7
    folder.best.write_text(json.dumps(kept))
    assert hpo.load_best("iris", copied).epochs == right
    folder.best.write_text(json.dumps(kept | {"complete": False}))
    assert hpo.load_best("iris", copied).epochs == 7, "while it runs there is no bundle of it yet"
    folder.best.write_text(json.dumps(kept))
    path.chmod(0o644)
    path.write_text(path.read_text().replace('"epochs": 2', '"epochs": 9'))
    with pytest.raises(InputError, match=r"bundle\.json is not what was bundled"):
        hpo.load_best("iris", copied)


def test_a_bundle_of_another_result_is_told(copied):
    folder = copied.study("iris")
    kept = json.loads(folder.best.read_text())
    kept["best"][0]["trial"] += 1
    folder.best.write_text(json.dumps(kept))
    with pytest.raises(InputError, match="its newest bundle is of trial"):
        hpo.load_best("iris", copied)
    with pytest.raises(InputError, match="the bundle is of trial"):
        folder.best.unlink()
        hpo.load_best(newest(folder.bundles), copied, trial=99)


@pytest.mark.parametrize("typed", [True, False])
def test_a_config_that_the_code_does_not_take_any_more_is_told(copied, tmp_path, typed):
    bundle = open_bundle(newest(copied.study("iris").bundles))
    config = bundle.contents.config | {"epochs": 0}
    contents = bundle.contents.model_copy(update={"config": config})
    folder = write_bundle(tmp_path / "older", contents, "name: iris\n", None).folder
    if typed:
        with pytest.raises(InputError, match=r"'builtin' does not take this config .* epochs: "):
            hpo.load_best(folder, copied)
    else:
        assert hpo.load_best(folder, copied, typed=False)["epochs"] == 0
