"""The `tracking:` section of a study file, and the tracker it means."""

from __future__ import annotations

import re

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from hpo.home import Home
from hpo.settings import Settings
from hpo.track import home_server
from hpo.track.base import NoTracker, Tracker
from hpo.track.login import Address
from hpo.track.mlflow import MlflowTracker
from hpo.urls import holds_password


class TrackingSettings(Settings):
    """Where the study is shown."""

    uri: str = Field(
        "default",
        description='"default": the MLflow server of hpo up while that is up, else MLflow on a '
        'SQLite file in the home folder; "none": off; '
        "otherwise any MLflow tracking URI, such as http://host:5000",
    )
    experiment: str | None = Field(
        None,
        min_length=1,
        max_length=500,
        description="the MLflow experiment; default: the study's name",
    )

    @field_validator("uri")
    @classmethod
    def _known_kind(cls, uri: str) -> str:
        if "://" in uri and _holds_password(uri):
            raise PydanticCustomError(
                "secret",
                "a tracking URI must not hold a password, since it is stored with the study; put"
                " it in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, in"
                " ~/.mlflow/credentials, or, for a database, in PGPASSWORD or ~/.pgpass",
            )
        # MLflow takes anything else for a folder and would write there in silence.
        if uri in ("default", "none", "databricks") or re.match(r"[a-z][a-z0-9+.-]*:/", uri):
            return uri
        raise ValueError(
            f'a tracking URI is "default", "none" or starts with a scheme, got {uri!r}; '
            f"write http://{uri} for a server, sqlite:///{uri} for a file"
        )


def address_of(settings: TrackingSettings, home: Home) -> Address | None:
    """Where the MLflow is that `settings` ask for; `None` where tracking is off."""
    if settings.uri != "default":
        return None if settings.uri == "none" else Address(settings.uri)
    server = home_server.running(home)
    return Address(home.tracking_uri) if server is None else home_server.address(home, server)


def open_tracker(settings: TrackingSettings, home: Home, study_name: str) -> Tracker:
    """The tracker that `settings` ask for; nothing is created or reached before its `start`."""
    experiment = settings.experiment or study_name
    address = address_of(settings, home)
    if address is None:
        return NoTracker()
    if address.uri.startswith(("http:", "https:", "databricks")):
        return MlflowTracker(address.uri, experiment, login=address.login)
    # A database has no place for files; MLflow's own choice would be the working folder.
    return MlflowTracker(address.uri, experiment, home.artifacts)


def _holds_password(uri: str) -> bool:
    try:
        return holds_password(uri)
    except ValueError:  # what cannot be taken apart may hold one anywhere
        return True
