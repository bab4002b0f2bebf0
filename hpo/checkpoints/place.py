"""The `checkpoints` of a study file: which places there are."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from urllib.parse import urlsplit

DEFAULT = "default"
"""The study's own folder."""

_PACKAGES = {"s3": ("s3fs", "s3"), "gs": ("gcsfs", "gcs")}


def is_folder(place: str) -> bool:
    """Whether it is a folder and not a URI."""
    return "://" not in place


def place_mistake(place: str) -> str | None:
    """What is wrong with a place, if anything; it is not looked at."""
    if place == DEFAULT:
        return None
    rule = (
        f'must be "{DEFAULT}", the absolute path of a folder that all nodes share, or s3://... or'
    )
    rule += " gs://..."
    if is_folder(place):
        return None if Path(place).is_absolute() else f"{rule}, got {place!r}"
    try:
        url = urlsplit(place)
        secret = url.password is not None or url.query
    except ValueError:
        # Without what was given: what cannot be taken apart may hold a password anywhere.
        return f"{rule}, got something that is no URI"
    if secret:
        return (
            "must hold no password and no options, since it is stored with the study; give"
            " credentials as the store's own tools take them, in AWS_... or"
            " GOOGLE_APPLICATION_CREDENTIALS"
        )
    if url.scheme not in _PACKAGES:
        return f"{rule}, got {url.scheme}://..."
    if not url.netloc:
        return f"{rule}, got {place!r}, which names no bucket"
    package, extra = _PACKAGES[url.scheme]
    if importlib.util.find_spec(package) is None:
        return f"{url.scheme}:// needs the package {package}: pip install 'hpo[{extra}]'"
    return None
