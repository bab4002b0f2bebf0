"""Finding the files of data sets."""

from __future__ import annotations

import difflib
from pathlib import Path

from hpo.errors import DataError


def file_version(path: str, folder: Path) -> tuple[int, ...] | None:
    """Size and time of change; `None` if there is no such file."""
    try:
        found = find_file(path, folder).stat()
    except (DataError, OSError):
        return None
    return found.st_size, found.st_mtime_ns


def find_file(path: str, folder: Path) -> Path:
    """The file at `path`, which counts from `folder` unless absolute.

    Raises:
        DataError: there is none; names the nearest one.
    """
    try:
        file = folder / Path(path).expanduser()
        if file.is_file():
            return file
    except (OSError, RuntimeError) as error:  # a name too long, a home that is nobody's
        raise DataError(f"{path}: no file can have this path: {error}", "check the path") from None
    if file.is_dir():
        raise DataError(f"{file}: a file is needed, this is a folder", "name a file in it")
    hint = f"paths count from {folder}, the study file's folder"
    if file.parent.is_dir():
        names = sorted(entry.name for entry in file.parent.iterdir() if entry.is_file())
        nearest = difflib.get_close_matches(file.name, names, n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else hint
    else:
        hint = f"there is no folder {file.parent}"
    raise DataError(f"{file}: there is no such file", hint)
