"""The studies that an MLflow server shows, without MLflow: its import takes two seconds."""

from __future__ import annotations

import base64
import json
import urllib.request
from typing import Any

from hpo.track import views
from hpo.track.addresses import of_view

TIMEOUT_S = 10.0
MAX_EXPERIMENTS = 1000


def shown(url: str, login: tuple[str, str] | None = None) -> list[tuple[str, str]]:
    """The name and the address of each of our views, those of the newest studies first.

    Args:
        url: of the server.
        login: user and password, where it asks for them.

    Raises:
        OSError: it does not answer, or does not let us in.
    """
    headers = {"Content-Type": "application/json"}
    if login:
        headers["Authorization"] = f"Basic {base64.b64encode(':'.join(login).encode()).decode()}"
    request = urllib.request.Request(
        f"{url}/api/2.0/mlflow/experiments/search",
        json.dumps({"max_results": MAX_EXPERIMENTS}).encode(),
        headers,
    )
    # A proxy in the environment must not be asked for an address on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=TIMEOUT_S) as answer:
        experiments: list[dict[str, Any]] = json.load(answer).get("experiments", [])
    found = []
    for experiment in experiments:
        for tag in experiment.get("tags", []):
            if tag["key"].startswith(views.VIEW_TAG + views.OURS):
                view = json.loads(tag["value"])
                key = tag["key"].removeprefix(views.VIEW_TAG)
                address = f"{url}/{of_view(experiment['experiment_id'], key)}"
                found.append((view["createdAt"], view["name"], address))
    return [(name, address) for _, name, address in sorted(found, reverse=True)]
