"""The address of a study's page before the study has begun, without loading MLflow."""

from __future__ import annotations

import urllib.error
from urllib.parse import quote

from hpo.home import Home
from hpo.track import home_server, rest
from hpo.track.addresses import TRAINING_VIEW
from hpo.track.mlflow import EXPERIMENT_TAGS
from hpo.track.settings import TrackingSettings

ANSWER_S = 2.0
"""A server that takes longer is not waited for: the address of all experiments does for now."""


def page_of(settings: TrackingSettings, home: Home, study_name: str) -> str | None:
    """Where people will see a study.

    The experiment is created if it is missing, as the study would, so that its page is there.

    Returns:
        `None` for a study that is tracked nowhere, or where no server shows it.
    """
    url = settings.uri
    if url == "default":
        server = home_server.running(home)
        if server is None:
            return None
        home_server.log_in(home, server)
        url = server.url
    if not url.startswith(("http://", "https://")):
        return None
    url = url.rstrip("/")
    try:
        found = _experiment(url, settings.experiment or study_name)
    except (OSError, ValueError, KeyError):
        return f"{url}/#/experiments?{TRAINING_VIEW}"
    return f"{url}/#/experiments/{found}?{TRAINING_VIEW}"


def _experiment(url: str, name: str) -> str:
    try:
        found = rest.ask(
            f"{url}/api/2.0/mlflow/experiments/get-by-name?experiment_name={quote(name)}",
            timeout_s=ANSWER_S,
        )
        return str(found["experiment"]["experiment_id"])
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
    tags = [{"key": key, "value": value} for key, value in EXPERIMENT_TAGS.items()]
    made = rest.ask(
        f"{url}/api/2.0/mlflow/experiments/create", {"name": name, "tags": tags}, ANSWER_S
    )
    return str(made["experiment_id"])
