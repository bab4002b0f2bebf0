"""How people name a result."""

from __future__ import annotations

from pathlib import Path

import pytest

import hpo
from hpo.bundle import newest
from hpo.errors import InputError
from hpo.reuse.references import Reference


def test_a_name_an_alias_and_a_folder():
    assert Reference.parse("digits") == Reference(name="digits")
    assert Reference.parse("digits@champion") == Reference(name="digits", alias="champion")
    for folder in ("./digits", "/tmp/b", "a/b", Path("digits"), "..", "a/x@y"):
        assert Reference.parse(folder) == Reference(folder=Path(folder))


@pytest.mark.parametrize("text", ["", "Digits", "digits@", "digits@a@b", "digits@V1", "@champion"])
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


def test_a_study_without_a_bundle_says_when_it_leaves_one(home):
    with pytest.raises(InputError, match="has left no bundle"):
        hpo.load_model("iris", home)
