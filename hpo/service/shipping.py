"""Copies a study file's folder to the home folder, from where every node gets it."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import suppress
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
        InputError: it is too large, or there is something in it that is no file, or a link that
            leads out of it.
    """
    folder = folder.resolve()
    files: list[tuple[int, Path]] = []
    for path in _walk(folder, apart.resolve(), _outer(folder)):
        if wrong := _misfit(path, folder):
            raise InputError(
                f"{path} {wrong}", "replace it by a plain file, or add it to .gitignore"
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


def _misfit(path: Path, folder: Path) -> str:
    """Why a path cannot be copied; empty if it can."""
    try:
        if not path.resolve(strict=True).is_relative_to(folder):
            return "leads out of the study file's folder, and would be missing elsewhere"
    except (OSError, RuntimeError):  # Python 3.11 and 3.12 raise the latter for a loop
        return "is a link that leads nowhere"
    return "" if path.is_file() else "is no file"


def _outer(folder: Path) -> list[tuple[Path, GitIgnoreSpec]]:
    """The rules from the top of the repository down to a folder, its own left out.

    None if they exclude the folder itself: whoever submits from there means what is in it.
    """
    top = next((each for each in folder.parents if (each / ".git").exists()), None)
    if top is None or (folder / ".git").exists():
        return []
    between = [each for each in reversed(folder.parents) if each.is_relative_to(top)]
    files = [(top, top / ".git" / "info" / "exclude")]
    files += [(each, each / ".gitignore") for each in between]
    rules = [(base, _rules(file)) for base, file in files if file.is_file()]
    return [] if _is_ignored(folder, True, rules) else rules


def _rules(file: Path) -> GitIgnoreSpec:
    """A `.gitignore`; lines that are no patterns mean nothing, as they do to Git."""
    lines = []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        with suppress(ValueError):
            GitIgnoreSpec.from_lines([line])
            lines.append(line)
    return GitIgnoreSpec.from_lines(lines)


def _walk(folder: Path, apart: Path, ignored: list[tuple[Path, GitIgnoreSpec]]) -> Iterator[Path]:
    """The files below a folder that no `.gitignore` on the way there excludes."""
    rules = folder / ".gitignore"
    if rules.is_file():
        ignored = [*ignored, (folder, _rules(rules))]
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
