"""Addresses with a secret in them, which are not to be written down."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

_SECRETS = {"password", "sslpassword"}


def holds_password(url: str) -> bool:
    """Whether a password stands in a URL: before its host, or among its options.

    Raises:
        ValueError: it is no URL.
    """
    parts = urlsplit(url)
    return parts.password is not None or bool(_SECRETS & {k.lower() for k in parse_qs(parts.query)})


def without_password(url: str) -> str:
    """The same URL without the password before its host, and without its options."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user.partition(':')[0]}{at}{host}", query="").geturl()
