from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from hpo.home import Home
from hpo.track import MlflowTracker, NoTracker, TrackingSettings, open_tracker


def test_the_default_is_a_store_in_the_home_that_is_not_touched_yet(tmp_path: Path) -> None:
    tracker = open_tracker(TrackingSettings(), Home(tmp_path / "home"), "digits")
    assert isinstance(tracker, MlflowTracker)
    assert not (tmp_path / "home").exists()


def test_it_can_be_off(tmp_path: Path) -> None:
    assert isinstance(open_tracker(TrackingSettings(uri="none"), Home(tmp_path), "d"), NoTracker)


@pytest.mark.parametrize(
    "uri", ["http://host:5000", "sqlite:///a.db", "postgresql://h/d", "databricks"]
)
def test_any_mlflow_uri_goes(uri: str) -> None:
    assert TrackingSettings(uri=uri).uri == uri


def test_a_uri_without_a_scheme_is_refused_with_a_remedy() -> None:
    with pytest.raises(ValidationError, match="write http://localhost:5000 for a server"):
        TrackingSettings(uri="localhost:5000")


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        TrackingSettings.model_validate({"url": "none"})


def test_every_setting_is_described() -> None:
    assert all(field.description for field in TrackingSettings.model_fields.values())
