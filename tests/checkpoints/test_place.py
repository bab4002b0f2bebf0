"""Which places a study file may name."""

from __future__ import annotations

import importlib.util

import pytest

from hpo.checkpoints import place_mistake
from hpo.checkpoints.transfer import stays_inside


@pytest.mark.parametrize(
    "place", ["default", "/mnt/shared", "s3://bucket", "s3://bucket/some/path", "gs://bucket"]
)
def test_a_place(place):
    assert place_mistake(place) is None


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("shared", "absolute path of a folder that all nodes share"),
        ("", "absolute path"),
        ("ftp://host/path", "got ftp://..."),
        ("memory://x", "got memory://..."),
        ("s3:///path", "names no bucket"),
        ("s3://[bucket", "no URI"),
    ],
)
def test_no_place(place, says):
    assert says in (place_mistake(place) or "")


def test_a_store_whose_package_is_missing(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install 'hpo[gcs]'" in (place_mistake("gs://bucket") or "")


@pytest.mark.parametrize("place", ["s3://key:hush@bucket/path", "s3://bucket/path?secret=hush"])
def test_no_password_is_stored_or_shown(place):
    found = place_mistake(place)
    assert found is not None and "no password" in found and "hush" not in found


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../up", "a/../../up", "."])
def test_a_file_that_leads_out(name):
    assert not stays_inside(name)
