"""How any of the service's servers is asked."""

from __future__ import annotations

import urllib.request
from typing import Any


def opener(proxied: bool = False) -> urllib.request.OpenerDirector:
    """Opens addresses; one that answers with a redirect is an `HTTPError`.

    Args:
        proxied: whether by the proxy that the environment may name, which must not be asked for an
            address on this machine.
    """
    proxy = urllib.request.ProxyHandler(None if proxied else {})
    return urllib.request.build_opener(proxy, _NoRedirect)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Whoever answers does not decide who else is told the password."""

    def redirect_request(self, *_: Any) -> None:
        return None
