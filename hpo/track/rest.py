"""Questions to an MLflow server, without loading MLflow: its import takes two seconds."""

from __future__ import annotations

import base64
import json
import os
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from hpo.urls import is_loopback


def ask(address: str, body: object = None, timeout_s: float = 10.0) -> Any:
    """What a server answers, as the user that the environment names, as MLflow has it.

    Args:
        address: of the question.
        body: of a POST; without one it is a GET.

    Raises:
        OSError: it does not answer, or not with what was asked for.
        ValueError: it answers something else than JSON.
    """
    headers = {"Content-Type": "application/json"}
    user = os.environ.get("MLFLOW_TRACKING_USERNAME")
    if user is not None:
        pair = f"{user}:{os.environ.get('MLFLOW_TRACKING_PASSWORD', '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, headers)
    # A proxy in the environment must not be asked for an address on this machine.
    here = is_loopback(urlsplit(address).hostname or "")
    proxies: dict[str, str] | None = {} if here else None
    opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies))
    with opener.open(request, timeout=timeout_s) as answer:
        return json.load(answer)
