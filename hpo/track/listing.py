"""The studies that an MLflow server shows."""

from __future__ import annotations

import json

from hpo.track import rest, views
from hpo.track.addresses import of_view
from hpo.track.login import Address

MAX_EXPERIMENTS = 1000


def shown(address: Address) -> list[tuple[str, str]]:
    """The name and the address of each of our views, those of the newest studies first.

    Args:
        address: of the server.

    Raises:
        OSError: it does not answer, or does not let us in.
    """
    url, at_most = address.uri, {"max_results": MAX_EXPERIMENTS}
    answer = rest.ask(f"{url}/api/2.0/mlflow/experiments/search", at_most, address.login)
    found = []
    for experiment in answer.get("experiments", []):
        for tag in experiment.get("tags", []):
            if tag["key"].startswith(views.VIEW_TAG + views.OURS):
                view = json.loads(tag["value"])
                key = tag["key"].removeprefix(views.VIEW_TAG)
                page = f"{url}/{of_view(experiment['experiment_id'], key)}"
                found.append((view["createdAt"], view["name"], page))
    return [(name, page) for _, name, page in sorted(found, reverse=True)]
