"""A registered bundle on its way here. What a registry says is believed of nothing on this disk."""

from __future__ import annotations

import posixpath
import tempfile
from pathlib import Path

from hpo.bundle import Bundle, open_bundle, read_manifest
from hpo.bundle.manifest import MANIFEST, MAX_MANIFEST_BYTES
from hpo.errors import InputError


def download(source: str, identity: str, into: Path, tracking_uri: str) -> Bundle:
    """Downloads a bundle to the folder `into / identity`, checked: there whole or not at all.

    The manifest comes first: it says which files are fetched, and how large each may be.

    Args:
        source: MLflow's URI of the bundle.
        identity: that the bundle must have; 64 hexadecimal digits.

    Raises:
        InputError: it is not that bundle, or a file is larger than its manifest says.
        MlflowException, OSError: it cannot be downloaded.
    """
    into.mkdir(parents=True, exist_ok=True)
    folder = into / identity
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=into) as scratch:
        fetched = Path(scratch) / "bundle"
        sizes = _sizes(source, tracking_uri)
        _fetch(source, MANIFEST, sizes, MAX_MANIFEST_BYTES, fetched, tracking_uri)
        manifest = read_manifest(fetched)
        if manifest.identity != identity:
            raise _wrong(source, f"is bundle {manifest.identity[:12]}, and not {identity[:12]}")
        for name, file in manifest.files.items():
            _fetch(source, name, sizes, file.size, fetched, tracking_uri)
        bundle = open_bundle(fetched)
        # Whoever else fetched it meanwhile has fetched the same.
        if not folder.exists():
            fetched.rename(folder)
    return Bundle(folder, identity, bundle.contents)


def _sizes(source: str, tracking_uri: str) -> dict[str, int | None]:
    """What is there, in bytes by name, before anything is downloaded."""
    from mlflow.artifacts import list_artifacts

    found = list_artifacts(artifact_uri=source, tracking_uri=tracking_uri)
    return {posixpath.basename(each.path): each.file_size for each in found if not each.is_dir}


def _fetch(
    source: str,
    name: str,
    sizes: dict[str, int | None],
    at_most: int,
    into: Path,
    tracking_uri: str,
) -> None:
    from mlflow.artifacts import download_artifacts

    size = sizes.get(name)
    if size is None:
        raise _wrong(source, f"has no {name}")
    if size > at_most:
        raise _wrong(source, f"has a {name} of {size} bytes, where at most {at_most} may be")
    download_artifacts(f"{source}/{name}", dst_path=str(into), tracking_uri=tracking_uri)


def _wrong(source: str, how: str) -> InputError:
    return InputError(f"what is registered at {source} {how}", "promote the study again")
