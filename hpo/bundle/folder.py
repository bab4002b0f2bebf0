"""Bundles on disk."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hpo.bundle.contents import Contents
from hpo.bundle.manifest import MANIFEST, Manifest, check_files, describe, read_manifest
from hpo.errors import InputError

CONTENTS = "bundle.json"
STUDY = "study.yaml"
WEIGHTS = "weights.safetensors"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose every file is what was bundled.

    Args:
        identity: a digest of everything in it.
    """

    folder: Path
    identity: str
    contents: Contents

    @property
    def weights(self) -> Path | None:
        """Of the trained model; `None` where the trainable leaves none."""
        path = self.folder / WEIGHTS
        return path if path.exists() else None


def open_bundle(folder: Path) -> Bundle:
    """Reads a bundle, all of it compared with its manifest first.

    Raises:
        InputError: the folder is no bundle, or anything in it was changed.
    """
    manifest = read_manifest(folder)
    check_files(folder, manifest)
    path = folder / CONTENTS
    try:
        contents = Contents.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        why = str(error).splitlines()[0]
        raise InputError(
            f"{path} cannot be read: {why}", "use the version of hpo that wrote it"
        ) from None
    return Bundle(folder, manifest.identity, contents)


def write_bundle(folder: Path, contents: Contents, study: str, weights: Path | None) -> Bundle:
    """Writes a bundle: it is there whole or not at all, and never changes afterwards.

    Args:
        folder: a new one.
        study: the study file's text.
        weights: of the trained model, in safetensors.

    Raises:
        InputError: there is something at `folder`.
    """
    if folder.exists():
        raise InputError(f"there is something at {folder}", "bundles are never written over")
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".bundle-", dir=folder.parent))
    try:
        (scratch / CONTENTS).write_text(contents.model_dump_json(indent=1), encoding="utf-8")
        (scratch / STUDY).write_text(study, encoding="utf-8")
        if weights is not None:
            shutil.copyfile(weights, scratch / WEIGHTS)
        files = {path.name: describe(path) for path in sorted(scratch.iterdir())}
        manifest = Manifest(files=files)
        (scratch / MANIFEST).write_text(manifest.text(), encoding="utf-8")
        for path in scratch.iterdir():
            _make_durable(path)
            path.chmod(0o444)
        scratch.chmod(0o755)  # mkdtemp lets nobody else in
        scratch.rename(folder)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return Bundle(folder, manifest.identity, contents)


def newest(bundles: Path) -> Path | None:
    """The newest of a folder of bundles, not opened yet; `None` if there is none."""
    numbers = _numbers(bundles)
    return bundles / f"{max(numbers):04d}" if numbers else None


def numbered(bundles: Path) -> Path:
    """Where the next of them goes."""
    return bundles / f"{max(_numbers(bundles), default=0) + 1:04d}"


def _numbers(bundles: Path) -> list[int]:
    names = [path.name for path in bundles.iterdir()] if bundles.is_dir() else []
    return [int(name) for name in names if name.isdecimal()]


def _make_durable(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
