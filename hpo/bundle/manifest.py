"""The list of a bundle's files, with what each must be."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from hpo.errors import InputError
from hpo.settings import Settings

MANIFEST = "manifest.json"

MAX_MANIFEST_BYTES = 1 << 20
MAX_TEXT_BYTES = 1 << 24
MAX_WEIGHTS_BYTES = 1 << 36

FileName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)+$", max_length=64)]
"""Directly in the bundle: without a slash, and not beginning with a dot, none can climb out."""


class File(Settings):
    """What one file must be."""

    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    size: int = Field(ge=0, le=MAX_WEIGHTS_BYTES)


class Manifest(Settings):
    """Every file of a bundle but the manifest itself."""

    schema_version: Literal[1] = 1
    files: dict[FileName, File]

    def text(self) -> str:
        """As it is written, to the byte."""
        return self.model_dump_json(indent=1)

    @property
    def identity(self) -> str:
        """A digest of everything in the bundle."""
        text = "".join(f"{name} {self.files[name].sha256}\n" for name in sorted(self.files))
        return hashlib.sha256(text.encode()).hexdigest()


def describe(path: Path) -> File:
    """What a file is now."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return File(sha256=digest, size=path.stat().st_size)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a bundle, not yet compared with its files.

    Raises:
        InputError: the folder is no bundle, or its manifest is damaged.
    """
    path = folder / MANIFEST
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise ValueError("no plain file")
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise ValueError(f"larger than {MAX_MANIFEST_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
        manifest = Manifest.model_validate_json(text)
        if manifest.text() != text:
            raise ValueError("it was edited")
        return manifest
    except FileNotFoundError:
        raise InputError(f"{folder} is no bundle: it has no {MANIFEST}") from None
    except (OSError, ValueError) as error:
        why = str(error).splitlines()[0]
        raise InputError(f"{path} is damaged: {why}", "take the bundle from another copy") from None


def check_files(folder: Path, manifest: Manifest) -> None:
    """Compares every file with the manifest.

    Raises:
        InputError: one is missing, changed, too large, no plain file, or not in the manifest.
    """
    there = {path.name for path in folder.iterdir()} - {MANIFEST}
    for name in sorted(there - manifest.files.keys()):
        raise _changed(folder / name, "is not in the manifest")
    for name, expected in manifest.files.items():
        path = folder / name
        if name not in there:
            raise _changed(path, "is missing")
        if not stat.S_ISREG(path.lstat().st_mode):
            raise _changed(path, "is no plain file")
        limit = MAX_WEIGHTS_BYTES if name.endswith(".safetensors") else MAX_TEXT_BYTES
        if path.stat().st_size > limit:
            raise _changed(path, f"is larger than {limit} bytes")
        if describe(path) != expected:
            raise _changed(path, "is not what was bundled: its SHA-256 is another")


def _changed(path: Path, how: str) -> InputError:
    return InputError(f"{path} {how}", "take the bundle from another copy; do not edit a bundle")
