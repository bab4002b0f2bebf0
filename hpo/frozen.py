"""A study on disk: what it was when it was last run, and what may change when it goes on."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from pathlib import Path

from hpo import studyfile
from hpo.differences import differences
from hpo.errors import InputError, Place, StudyConflict
from hpo.files import write_atomically
from hpo.home import StudyFolder
from hpo.records import Json, StudyCard
from hpo.space import Document
from hpo.studyfile import Study

SCHEMA = 1


def freeze(study: Study, folder: StudyFolder) -> StudyCard:
    """Writes the study down, or, where there is one of that name, checks that it is the same.

    Trials, resources and tracking may change from run to run. A study without a finished trial has
    nothing to lose and is made anew.

    Raises:
        StudyConflict: a study of that name searches something else; the differences are shown.
    """
    study_id = uuid.uuid4().hex
    identity, file = study.identity(), study.file.model_dump(mode="json")
    if folder.spec.exists():
        before = _read(folder)
        study_id = before["id"]
        changes = list(differences(before["identity"], identity))
        if not changes:
            # Draws follow the order of the keys, which says nothing else: the first order stays.
            identity, file["space"] = before["identity"], before["file"]["space"]
        else:
            if _finished(folder):
                shown = "\n".join(f"  {line}" for line in changes[:20])
                raise StudyConflict(
                    f"there is a study {study.name!r} with other settings:\n{shown}",
                    f"give this one another name, or remove {os.path.relpath(folder.root)}",
                )
            _clear(folder)
            study_id = uuid.uuid4().hex
    spec = {
        "schema": SCHEMA,
        "id": study_id,
        "folder": str(study.folder.resolve()),
        "identity": identity,
        "file": file,
    }
    write_atomically(folder.study_file, study.text)
    write_atomically(folder.spec, json.dumps(spec, indent=1))
    return card(study, study_id)


def thaw(folder: StudyFolder) -> Study:
    """The study as it was last run; its trainable is loaded again.

    Raises:
        InputError: there is no such study, or its trainable is gone.
    """
    spec = _read(folder)
    document = Document(spec["file"], {(): Place(str(folder.spec), 1, 1)})
    return studyfile.build(document, Path(spec["folder"]), folder.study_file.read_text())


def thaw_card(folder: StudyFolder) -> StudyCard:
    """What a tracker must know of a study."""
    return card(thaw(folder), _read(folder)["id"])


def card(study: Study, study_id: str) -> StudyCard:
    return StudyCard(
        name=study.name,
        id=study_id,
        objective=study.objective,
        file_text=study.text,
        space=study.file.space,
        trials=study.file.search.trials,
    )


def _read(folder: StudyFolder) -> Json:
    try:
        spec = json.loads(folder.spec.read_text())
    except FileNotFoundError:
        raise InputError(
            f"there is no study {folder.name!r} in {folder.root.parent.parent}",
            "hpo list shows those that are there",
        ) from None
    if spec.get("schema") != SCHEMA:
        raise InputError(
            f"{folder.spec} has schema {spec.get('schema')!r}, this version reads {SCHEMA}",
            "use the version of hpo that wrote it",
        )
    return spec


def _finished(folder: StudyFolder) -> bool:
    """Whether the record has a finished trial, told without opening it."""
    try:
        return '"hpo:outcome"' in folder.journal.read_text()
    except FileNotFoundError:
        return False


def _clear(folder: StudyFolder) -> None:
    """Forgets trials that came to nothing."""
    folder.journal.unlink(missing_ok=True)
    shutil.rmtree(folder.root / "trials", ignore_errors=True)
