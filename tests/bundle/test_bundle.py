"""Bundles: what is read is what was written, and a change of any byte is noticed."""

from __future__ import annotations

import json
import os
import stat

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpo.bundle import (
    Contents,
    Provenance,
    newest,
    numbered,
    open_bundle,
    write_bundle,
)
from hpo.errors import InputError
from hpo.records import Objective
from hpo.repeated import Repeated

CONTENTS = Contents(
    study="digits",
    study_id="1f",
    trainable="builtin",
    trial=12,
    config={"epochs": 3, "optimizer": {"kind": "sgd"}},
    space={"epochs": 3},
    objectives=(Objective("val_error"),),
    seeds=(5, 6),
    validation={"val_error": (0.1, 0.2)},
    test={"test_error": (0.11, float("nan"))},
    provenance=Provenance(python="3.11.7", platform="Linux", packages={"torch": "2.13.0"}),
)
STUDY = "name: digits  # as it was written\n"


@pytest.fixture
def bundle(tmp_path):
    weights = tmp_path / "trained"
    weights.write_bytes(b"\x00\x01tensors")
    return write_bundle(tmp_path / "bundles" / "1", CONTENTS, STUDY, weights)


def test_what_is_read_is_what_was_written(bundle):
    found = open_bundle(bundle.folder)
    assert found.contents.model_dump_json() == CONTENTS.model_dump_json()
    assert found.identity == bundle.identity
    assert (found.folder / "study.yaml").read_text() == STUDY
    assert found.weights is not None and found.weights.read_bytes() == b"\x00\x01tensors"


def test_it_is_never_written_over(bundle):
    with pytest.raises(InputError, match="there is something at"):
        write_bundle(bundle.folder, CONTENTS, STUDY, None)
    for path in bundle.folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert [path.name for path in bundle.folder.parent.iterdir()] == ["1"], "nothing half written"


def test_the_identity_is_that_of_the_content(bundle, tmp_path):
    same = write_bundle(tmp_path / "a", CONTENTS, STUDY, bundle.weights)
    other = write_bundle(tmp_path / "b", CONTENTS, STUDY + "#", bundle.weights)
    assert same.identity == bundle.identity != other.identity


@given(data=st.data())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_changed_byte_is_noticed(bundle, data):
    path = data.draw(st.sampled_from(sorted(p for p in bundle.folder.iterdir())))
    before = path.read_bytes()
    at = data.draw(st.integers(0, len(before) - 1))
    changed = bytearray(before)
    changed[at] ^= data.draw(st.integers(1, 255))
    path.chmod(0o644)
    path.write_bytes(changed)
    try:
        with pytest.raises(InputError):
            open_bundle(bundle.folder)
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize("name", ["../outside.txt", "/etc/passwd", "a/b.txt", ".hidden", "..", ""])
def test_a_path_that_climbs_out_is_refused(bundle, name):
    path = bundle.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"][name] = {"sha256": "0" * 64, "size": 0}
    path.chmod(0o644)
    path.write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"manifest\.json is damaged"):
        open_bundle(bundle.folder)


def test_a_link_is_no_file_of_it(bundle, tmp_path):
    path = bundle.folder / "study.yaml"
    (tmp_path / "same").write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(tmp_path / "same")
    with pytest.raises(InputError, match=r"study\.yaml is no plain file"):
        open_bundle(bundle.folder)


def test_what_is_missing_or_added_is_noticed(bundle):
    (bundle.folder / "more.txt").write_text("")
    with pytest.raises(InputError, match=r"more\.txt is not in the manifest"):
        open_bundle(bundle.folder)
    (bundle.folder / "more.txt").unlink()
    (bundle.folder / "weights.safetensors").unlink()
    with pytest.raises(InputError, match=r"weights\.safetensors is missing"):
        open_bundle(bundle.folder)
    with pytest.raises(InputError, match="is no bundle"):
        open_bundle(bundle.folder.parent)


def test_a_file_that_is_too_large_is_not_read(bundle):
    path = bundle.folder / "manifest.json"
    path.chmod(0o644)
    os.truncate(path, 1 << 40)
    with pytest.raises(InputError, match="larger than"):
        open_bundle(bundle.folder)


def test_the_newest_is_that_of_the_highest_number(bundle, tmp_path):
    folder = tmp_path / "numbered"
    assert newest(folder) is None and numbered(folder) == folder / "0001"
    for number in ("0002", "0010"):
        write_bundle(folder / number, CONTENTS, STUDY, None)
    (folder / "notes").mkdir()
    assert newest(folder) == folder / "0010" and numbered(folder) == folder / "0011"


def test_every_metric_has_a_value_for_each_seed():
    found = CONTENTS.repeated(CONTENTS.validation["val_error"])
    assert found == Repeated({5: 0.1, 6: 0.2})
    with pytest.raises(ValueError, match="val_error has a value for each of 2 seeds"):
        Contents.model_validate({**CONTENTS.model_dump(), "validation": {"val_error": (0.1,)}})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seeds": (5, 5)}, "every run has a seed of its own"),
        ({"validation": {"loss": (0.1, 0.2)}}, "there is no validation of val_error"),
    ],
)
def test_what_does_not_fit_together_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        Contents.model_validate({**CONTENTS.model_dump(), **change})


def test_a_manifest_that_is_a_link_is_refused(bundle, tmp_path):
    path = bundle.folder / "manifest.json"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"manifest\.json is damaged: no plain file"):
        open_bundle(bundle.folder)
