"""The studies that an MLflow server shows."""

from __future__ import annotations

import json

from hpo.track import rest, views
from hpo.track.addresses import of_view

MAX_EXPERIMENTS = 1000


def shown(url: str) -> list[tuple[str, str]]:
    """The name and the address of each of our views, those of the newest studies first.

    Args:
        url: of the server.

    Raises:
        OSError: it does not answer, or does not let us in.
    """
    question = f"{url}/api/2.0/mlflow/experiments/search"
    found = []
    for experiment in rest.ask(question, {"max_results": MAX_EXPERIMENTS}).get("experiments", []):
        for tag in experiment.get("tags", []):
            if tag["key"].startswith(views.VIEW_TAG + views.OURS):
                view = json.loads(tag["value"])
                key = tag["key"].removeprefix(views.VIEW_TAG)
                address = f"{url}/{of_view(experiment['experiment_id'], key)}"
                found.append((view["createdAt"], view["name"], address))
    return [(name, address) for _, name, address in sorted(found, reverse=True)]
