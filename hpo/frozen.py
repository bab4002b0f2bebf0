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
from hpo.records import Json, State, StudyCard
from hpo.search.record import Record
from hpo.space import Document
from hpo.studyfile import Study, StudyFile

SCHEMA = 1


def freeze(study: Study, folder: StudyFolder) -> StudyCard:
    """Writes the study down, or, where there is one of that name, checks that it is the same.

    Trials, resources and tracking may change from run to run. A study in which no trial has ended
    or reported has nothing to lose and is made anew.

    Raises:
        StudyConflict: a study of that name searches something else; the differences are shown.
    """
    study_id = uuid.uuid4().hex
    identity, file = study.identity(), study.file.model_dump(mode="json")
    if folder.spec.exists():
        before = _read(folder)
        if (folder.root / "trials").exists() and not Record.exists(folder.journal):
            raise StudyConflict(
                f"the record of study {study.name!r} is gone: {folder.journal} is missing or empty,"
                " but there are trials",
                f"put it back, or remove {os.path.relpath(folder.root)} to start anew",
            )
        study_id = before["id"]
        changes = list(differences(before["identity"], identity))
        if not changes:
            # Draws follow the order of the keys, which says nothing else: the first order stays.
            identity, file["space"] = before["identity"], before["file"]["space"]
        else:
            if _has_results(folder, study):
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
    text = folder.study_file.read_text(encoding="utf-8")
    return studyfile.build(document, Path(spec["folder"]), text)


def settings(folder: StudyFolder) -> StudyFile:
    """The settings of a study, without its trainable, which may be gone by now.

    Raises:
        InputError: there is no such study.
    """
    return StudyFile.model_validate(_read(folder)["file"])


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
        spec = json.loads(folder.spec.read_text(encoding="utf-8"))
        if spec["schema"] != SCHEMA:
            raise InputError(
                f"{folder.spec} has schema {spec['schema']!r}, this version reads {SCHEMA}",
                "use the version of hpo that wrote it",
            )
        StudyFile.model_validate(spec["file"])
        return {key: spec[key] for key in ("id", "folder", "identity", "file")}
    except FileNotFoundError:
        raise InputError(
            f"there is no study {folder.name!r} in {folder.root.parent.parent}",
            "hpo list shows those that are there",
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder.spec} is damaged: {type(error).__name__}: {error}",
            "put it back from a copy, or remove the study's folder to start anew",
        ) from None


def _has_results(folder: StudyFolder, study: Study) -> bool:
    if not Record.exists(folder.journal):
        return False
    trials = Record(folder.journal, study.objective).trials()
    return any(t.state is not State.RUNNING or t.steps > 0 for t in trials)


def _clear(folder: StudyFolder) -> None:
    """Forgets trials that came to nothing."""
    folder.journal.unlink(missing_ok=True)
    shutil.rmtree(folder.root / "trials", ignore_errors=True)
