"""Copies a study file's folder to the home folder, from where every node gets it."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec

from hpo.errors import InputError

MAX_BYTES = 100 << 20
MAX_FILES = 10_000

NEVER = {".git", ".hg", ".svn", "__pycache__", ".venv", ".mypy_cache", ".pytest_cache"}


@dataclass(frozen=True, slots=True)
class Shipment:
    """What is to be copied, by path below the folder."""

    folder: Path
    files: tuple[Path, ...]
    size: int


def pack(folder: Path, apart: Path, max_bytes: int = MAX_BYTES) -> Shipment:
    """Lists what belongs to a study: its folder without what Git is told to ignore.

    Args:
        apart: the home folder, which may lie inside.

    Raises:
        InputError: it is too large, or a link in it leads out of it.
    """
    folder = folder.resolve()
    files: list[tuple[int, Path]] = []
    for path in _walk(folder, apart.resolve(), []):
        if not path.resolve().is_relative_to(folder):
            raise InputError(
                f"{path} leads out of the study file's folder, and would be missing elsewhere",
                "replace the link by what it leads to, or add it to .gitignore",
            )
        files.append((path.stat().st_size, path.relative_to(folder)))
        if len(files) > MAX_FILES:
            raise InputError(
                f"{folder} has more than {MAX_FILES} files",
                "give the study file a folder of its own, or name what is not code in .gitignore",
            )
    size = sum(length for length, _ in files)
    if size > max_bytes:
        largest = ", ".join(
            f"{path} ({length / 2**20:.0f} MB)" for length, path in sorted(files, reverse=True)[:3]
        )
        raise InputError(
            f"{folder} must be at most {max_bytes / 2**20:.0f} MB to be shipped, got"
            f" {size / 2**20:.0f} MB; the largest: {largest}",
            "name data in .gitignore and give its absolute path in the study file",
        )
    return Shipment(folder, tuple(path for _, path in files), size)


def unpack(shipment: Shipment, into: Path) -> Path:
    """Copies a shipment to a new folder in `into`, beside what was shipped before.

    Returns:
        that folder.
    """
    fresh = into / uuid.uuid4().hex
    fresh.mkdir(parents=True)
    try:
        for path in shipment.files:
            (fresh / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(shipment.folder / path, fresh / path)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    return fresh


def keep_only(shipped: Path) -> None:
    """Removes what was shipped beside it, also by somebody who was cut short."""
    for other in shipped.parent.iterdir():
        if other != shipped:
            shutil.rmtree(other, ignore_errors=True)


def _walk(folder: Path, apart: Path, ignored: list[tuple[Path, GitIgnoreSpec]]) -> Iterator[Path]:
    """The files below a folder that no `.gitignore` on the way there excludes."""
    rules = folder / ".gitignore"
    if rules.is_file():
        lines = rules.read_text(encoding="utf-8", errors="replace").splitlines()
        ignored = [*ignored, (folder, GitIgnoreSpec.from_lines(lines))]
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = Path(entry.path)
        is_folder = entry.is_dir(follow_symlinks=False)
        if entry.name in NEVER or path == apart or _is_ignored(path, is_folder, ignored):
            continue
        if is_folder:
            yield from _walk(path, apart, ignored)
        else:
            yield path


def _is_ignored(path: Path, is_folder: bool, ignored: list[tuple[Path, GitIgnoreSpec]]) -> bool:
    """By the rule nearest to it that says anything, as Git does."""
    for base, spec in reversed(ignored):
        name = f"{path.relative_to(base).as_posix()}{'/' if is_folder else ''}"
        verdict = spec.check_file(name).include
        if verdict is not None:
            return verdict
    return False
