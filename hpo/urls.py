"""Addresses: with a secret in them, which are not to be written down, and of this machine alone."""

from __future__ import annotations

import ipaddress
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

_SECRETS = {"password", "sslpassword"}


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on `host`, a name or an IP address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def holds_password(url: str) -> bool:
    """Whether a password stands in a URL: before its host, or among its options.

    Raises:
        ValueError: it is no URL.
    """
    parts = urlsplit(url)
    return bool(parts.password) or bool(_SECRETS & {k.lower() for k in parse_qs(parts.query)})


def without_password(url: str) -> str:
    """The same URL without the password before its host or among its options."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    options = [(k, v) for k, v in parse_qsl(parts.query, True) if k.lower() not in _SECRETS]
    return parts._replace(
        netloc=f"{user.partition(':')[0]}{at}{host}", query=urlencode(options, safe="/")
    ).geturl()
