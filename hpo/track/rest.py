"""Questions to a server, without loading its client: MLflow's takes two seconds, as does Ray's."""

from __future__ import annotations

import json
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from hpo.track.login import Login, of_environment
from hpo.urls import is_loopback

MAX_BYTES = 64 << 20
"""Of an answer: a thousand experiments with a view each are a few million."""


def ask(
    address: str, body: object = None, login: Login | None = None, timeout_s: float = 10
) -> Any:
    """What an MLflow server answers.

    Args:
        address: of the question.
        body: of a POST; without one it is a GET.
        login: who asks; `None` for whoever the environment names, as MLflow has it.

    Raises:
        OSError: it does not answer, or not with what was asked for.
        ValueError: it answers something else than JSON, or too much of it.
    """
    asks = login or of_environment()
    # A proxy in the environment must not be asked for an address on this machine.
    proxied = not is_loopback(urlsplit(address).hostname or "")
    return exchange(address, body, asks.authorization if asks else None, timeout_s, proxied)


def exchange(
    address: str, body: object, authorization: str | None, timeout_s: float, proxied: bool
) -> Any:
    """One question and its answer, both in JSON; see `ask`.

    Args:
        authorization: the header of that name. It goes to this address and to no other.
        proxied: whether by the proxy that the environment may name.
    """
    headers = {"Content-Type": "application/json"}
    if authorization is not None:
        headers["Authorization"] = authorization
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, headers)
    proxy = urllib.request.ProxyHandler(None if proxied else {})
    opener = urllib.request.build_opener(proxy, _NoRedirect)
    with opener.open(request, timeout=timeout_s) as answer:
        said = answer.read(MAX_BYTES + 1)
    if len(said) > MAX_BYTES:
        raise ValueError(f"an answer must have at most {MAX_BYTES} bytes")
    return json.loads(said)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Whoever answers does not decide who else is told the password."""

    def redirect_request(self, *_: Any) -> None:
        return None
