"""The address of a study's page before the study has begun, without loading MLflow."""

from __future__ import annotations

import urllib.error
from dataclasses import dataclass
from urllib.parse import quote

from hpo.home import Home
from hpo.track import home_server, rest
from hpo.track.addresses import TRAINING_VIEW
from hpo.track.login import Login
from hpo.track.mlflow import EXPERIMENT_TAGS
from hpo.track.settings import TrackingSettings, address_of

ANSWER_S = 2.0
"""A server that takes longer is not waited for: the address of all experiments does for now."""


@dataclass(frozen=True, slots=True)
class Page:
    """Where people will see a study.

    Args:
        trouble: why the tracker does not show it yet; `None` if it does.
    """

    url: str
    trouble: str | None = None


def page_of(settings: TrackingSettings, home: Home, study_name: str) -> Page | None:
    """Where people will see a study.

    The experiment is created if it is missing, as the study would, so that its page is there.

    Returns:
        `None` for a study that is tracked nowhere, or where no server shows it.
    """
    server = home_server.read(home) if settings.uri == "default" else None
    if server is not None and not server.is_up:
        return Page(f"{server.url}/#/experiments?{TRAINING_VIEW}", "hpo up starts it again")
    address = address_of(settings, home)
    if address is None or not address.uri.startswith(("http://", "https://")):
        return None
    url = address.uri.rstrip("/")
    try:
        found = _experiment(url, settings.experiment or study_name, address.login)
    except (OSError, ValueError, KeyError) as error:
        return Page(f"{url}/#/experiments?{TRAINING_VIEW}", str(error))
    return Page(f"{url}/#/experiments/{found}?{TRAINING_VIEW}")


def _experiment(url: str, name: str, login: Login | None) -> str:
    try:
        found = rest.ask(
            f"{url}/api/2.0/mlflow/experiments/get-by-name?experiment_name={quote(name)}",
            login=login,
            timeout_s=ANSWER_S,
        )
        return str(found["experiment"]["experiment_id"])
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
    tags = [{"key": key, "value": value} for key, value in EXPERIMENT_TAGS.items()]
    made = rest.ask(
        f"{url}/api/2.0/mlflow/experiments/create", {"name": name, "tags": tags}, login, ANSWER_S
    )
    return str(made["experiment_id"])
