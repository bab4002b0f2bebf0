"""Where a result comes from: code, packages, machine."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import distributions
from pathlib import Path

from hpo.bundle import Provenance
from hpo.files import write_atomically
from hpo.home import StudyFolder
from hpo.settings import Settings
from hpo.trainable import BUILTIN

GIT_SECONDS = 20.0

RAYS_COPIES = "thirdparty_files"
"""Ray's folder of packages that it brings along, which are seen only where Ray is loaded."""


class Origin(Settings):
    """What Git says of a folder; all `None` outside of a repository, or where there is no Git."""

    commit: str | None = None
    clean: bool | None = None


def origin_of(code: Path, apart: Path) -> Origin:
    """What Git says of a folder now.

    Args:
        apart: the home folder, which may lie in the same repository and is no part of the code.
    """
    top, commit = _git(code, "rev-parse", "--show-toplevel"), _git(code, "rev-parse", "HEAD")
    if not top or not commit:
        return Origin()
    paths = [":(top)"]
    if apart.resolve().is_relative_to(Path(top)):
        paths.append(f":(exclude,top){apart.resolve().relative_to(Path(top))}")
    changes = _git(code, "status", "--porcelain", "--", *paths)
    return Origin(commit=commit, clean=None if changes is None else not changes)


def remember_origin(code: Path, folder: StudyFolder, apart: Path) -> None:
    """Writes down what Git says of a folder that is about to be copied without its repository."""
    write_atomically(folder.origin, origin_of(code, apart).model_dump_json())


def provenance(
    trainable: str, code: Path, folder: StudyFolder, data: Mapping[str, str]
) -> Provenance:
    """Where what is computed here and now comes from.

    Args:
        trainable: as the study file names it.
        code: the folder of the study file.
        data: digests of what was trained on, by name.
    """
    shipped = code.resolve().parent == folder.code.resolve() and folder.origin.exists()
    if shipped:
        origin = Origin.model_validate_json(folder.origin.read_bytes())
    else:
        origin = origin_of(code, folder.root.parent.parent)
    return Provenance(
        python=platform.python_version(),
        platform=platform.platform(),
        packages=packages(),
        commit=origin.commit,
        clean=origin.clean,
        code=None if trainable == BUILTIN else digest(code),
        data=dict(data),
    )


def digest(code: Path) -> str:
    """Of the Python files in a folder and the folders in it, hidden ones left out: SHA-256."""
    whole = hashlib.sha256()
    for path in sorted(code.rglob("*.py")):
        inside = path.relative_to(code)
        if path.is_file() and not any(part.startswith(".") for part in inside.parts):
            one = hashlib.sha256(path.read_bytes()).hexdigest()
            whole.update(f"{inside.as_posix()} {one}\n".encode())
    return whole.hexdigest()


def packages() -> dict[str, str]:
    """Versions of all that is installed, by name: of several, that which Python would load."""
    return dict(_packages(tuple((path, _changed(path)) for path in map(os.path.abspath, sys.path))))


@lru_cache(maxsize=1)
def _packages(where: tuple[tuple[str, int], ...]) -> dict[str, str]:
    """As long as nothing is added to the folders that packages come from, or taken away: reading
    some hundred files takes as long as a small study."""
    found: dict[str, str] = {}
    for each in distributions():
        if Path(str(each.locate_file(""))).name != RAYS_COPIES:
            found.setdefault(each.metadata["Name"].lower(), each.version)
    return dict(sorted(found.items()))


def _changed(path: str) -> int:
    """When a folder was last changed, in nanoseconds; 0 where there is none."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def _git(folder: Path, *arguments: str) -> str | None:
    """What a Git command says; `None` if it fails."""
    try:
        ran = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=GIT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ran.stdout.strip() if ran.returncode == 0 else None
