"""A study as it was understood when it was last run; read without optuna."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import Field, ValidationError

from hpo.errors import InputError
from hpo.files import read_bounded, write_atomically
from hpo.home import StudyFolder
from hpo.records import StageName
from hpo.settings import Settings
from hpo.studyfile import StudyFile

SCHEMA = 4
MAX_BYTES = 1 << 24


class Spec(Settings):
    """What makes a study the one that it is.

    Args:
        id: its own; a study of the same name that is made anew has another one.
        extension: how often its space has grown.
        known: the file in its folder that has what it knew before its first trial.
        folder: of the study file, absolute.
        file: the study file, its fragments and overrides merged.
    """

    version: int = Field(SCHEMA, alias="schema", ge=SCHEMA, le=SCHEMA)
    id: str
    extension: int = Field(ge=0)
    known: str
    folder: Path
    file: StudyFile

    def journal(self, folder: StudyFolder, stage: StageName = "search") -> tuple[Path, str]:
        """The journal of a stage of the study: its file, and what it is called in a database."""
        if stage == "search":
            return folder.journal, self.id
        return folder.final.journal, f"{self.id}-final"


def write_spec(spec: Spec, folder: StudyFolder) -> None:
    text = json.dumps(spec.model_dump(mode="json", by_alias=True), indent=1)
    write_atomically(folder.spec, text)


def find_spec(folder: StudyFolder) -> Spec | None:
    """`None` where there is no study.

    Raises:
        InputError: it is damaged, or another version wrote it.
    """
    try:
        found = json.loads(read_bounded(folder.spec, MAX_BYTES))
        schema = found["schema"]
        if schema == SCHEMA:
            return Spec.model_validate(found)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        why = f"{type(error).__name__}: {error}"
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            why = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise InputError(
            f"{folder.spec} is damaged: {why}",
            "put it back from a copy, or remove the study's folder to start anew",
        ) from None
    raise InputError(
        f"{folder.spec} has schema {schema!r}, this version reads {SCHEMA}",
        "use the version of hpo that wrote it",
    )


def read_spec(folder: StudyFolder) -> Spec:
    """As `find_spec`.

    Raises:
        InputError: there is no such study, too.
    """
    spec = find_spec(folder)
    if spec is None:
        raise InputError(
            f"there is no study {folder.name!r} in {folder.root.parent.parent}",
            "hpo list shows those that are there",
        )
    return spec
