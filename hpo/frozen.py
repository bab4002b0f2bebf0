"""A study on disk: what it was when it was last run, and what may change when it goes on."""

from __future__ import annotations

import os
import shutil
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from hpo import checkpoints as stores
from hpo import studyfile
from hpo.differences import differences
from hpo.errors import InputError, Place, StudyConflict
from hpo.files import read_bounded, write_atomically
from hpo.home import Home, StudyFolder
from hpo.records import (
    Json,
    Objectives,
    StageName,
    State,
    StudyCard,
    TrialRecord,
    best_trials,
)
from hpo.search.journal import forget, journal_exists, open_journal
from hpo.search.known import Known, KnownTrial, compatible
from hpo.search.pruners import NoPruner
from hpo.search.record import Record
from hpo.space import Document, OutsideSpace, extension, locate
from hpo.spec import Spec, read_spec, write_spec
from hpo.studyfile import Study, StudyFile

MAX_KNOWN_BYTES = 1 << 30
"""With every trial of the studies that this one builds on."""


def freeze(
    study: Study, home: Home, extend: bool = False, checkpoints: str = stores.DEFAULT
) -> StudyCard:
    """Writes the study down, or, where there is one of that name, checks that it is the same.

    Trials, budget, resources and tracking may change from run to run. A study in which no trial has
    ended or reported has nothing to lose and is made anew.

    Args:
        extend: whether the space may have grown (wider ranges, more choices) and more configs may
            be enqueued; the trials so far are kept.
        checkpoints: where they go if the study file leaves it open and the study is new; it stays
            as long as the study is there.

    Raises:
        StudyConflict: a study of that name searches something else; the differences are shown.
        InputError: a study that this one builds on cannot be used.
    """
    folder = home.study(study.name)
    file, study_id, grown, before = study.file, uuid.uuid4().hex, 0, None
    if file.checkpoints == stores.DEFAULT:
        file = file.model_copy(update={"checkpoints": checkpoints})
    # Asked before anything is written: a database that cannot be reached makes no study.
    journal_exists(study.file.storage, folder.journal, study_id)
    if folder.spec.exists():
        before = read_spec(folder)
        if (folder.root / "trials").exists() and not exists(folder):
            raise StudyConflict(
                f"the record of study {study.name!r} is gone: {folder.journal} is missing or empty,"
                " but there are trials",
                f"put it back, or remove {os.path.relpath(folder.root)} to start anew",
            )
        earlier = before.file
        left_open = study.file.checkpoints == stores.DEFAULT
        if left_open and earlier.checkpoints != checkpoints and _has_results(folder):
            file = file.model_copy(update={"checkpoints": earlier.checkpoints})
        changes = list(differences(_identity(earlier), _identity(file)))
        if not changes:
            study_id, grown = before.id, before.extension
            # Draws follow the order of the keys, which says nothing else: the first order stays.
            file = file.model_copy(update={"space": earlier.space})
        elif not _has_results(folder):
            _clear(folder)
            before = None
        elif extend:
            if others := _other_than_growth(folder, study, changes):
                raise _conflict(
                    study, folder, others, "only wider ranges and more choices are a growth"
                )
            study_id, grown = before.id, before.extension + 1
        else:
            growth = not _other_than_growth(folder, study, changes)
            raise _conflict(study, folder, changes, "to let it grow: hpo run --extend" * growth)
    # What is known is written before the spec, which names it: a crash between the two leaves
    # either no study, or the study as it was.
    known = f"known-{study_id}-{grown}.json"
    if before is None or before.known != known:
        so_far = read_known(folder) if before else None
        write_atomically(folder.root / known, _known(study, home, so_far).model_dump_json(indent=1))
    spec = Spec(id=study_id, extension=grown, known=known, folder=study.folder.resolve(), file=file)
    write_atomically(folder.study_file, study.text)
    write_spec(spec, folder)
    return card(study, study_id)


def thaw(folder: StudyFolder) -> Study:
    """The study as it was last run; its trainable is loaded again.

    Raises:
        InputError: there is no such study, or its trainable is gone.
    """
    spec = read_spec(folder)
    document = Document(spec.file.model_dump(mode="json"), {(): Place(str(folder.spec), 1, 1)})
    text = folder.study_file.read_text(encoding="utf-8")
    study = studyfile.build(document, spec.folder, text)
    return replace(study, extension=spec.extension)


def settings(folder: StudyFolder) -> StudyFile:
    """The settings of a study, without its trainable, which may be gone by now.

    Raises:
        InputError: there is no such study.
    """
    return read_spec(folder).file


def exists(folder: StudyFolder, stage: StageName = "search") -> bool:
    """Whether a stage of the study has a record."""
    spec = read_spec(folder)
    return journal_exists(spec.file.storage, *spec.journal(folder, stage))


def open_record(folder: StudyFolder, writable: bool = False, stage: StageName = "search") -> Record:
    """The record of a stage of the study; the final stage's lies where the search's does.

    Raises:
        InputError: there is no such study, or its record cannot be read.
        StudyConflict: another process writes it.
    """
    spec = read_spec(folder)
    file = spec.file
    journal = open_journal(file.storage, *spec.journal(folder, stage), writable)
    pruner = file.pruner if stage == "search" else NoPruner()
    return Record(journal, file.objectives, pruner.make() if writable else None)


def open_checkpoints(folder: StudyFolder, stage: StageName = "search") -> stores.Checkpoints:
    """What the trials of a stage have saved.

    Raises:
        InputError: there is no such study.
    """
    spec = read_spec(folder)
    place, study_id = spec.file.checkpoints, f"{folder.name}-{spec.id}"
    if stage == "search":
        return stores.open_checkpoints(place, folder, study_id)
    return stores.open_checkpoints(place, folder.final, f"{study_id}/final")


def forget_records(folder: StudyFolder) -> None:
    """Removes the record of a study and that of its final stage.

    Raises:
        InputError: there is no such study, or its database cannot be used.
        StudyConflict: a process writes to it.
    """
    spec = read_spec(folder)
    forget(spec.file.storage, *spec.journal(folder, "final"))
    forget(spec.file.storage, *spec.journal(folder))


@contextmanager
def reading(folder: StudyFolder, stage: StageName = "search") -> Iterator[Record | None]:
    """The record of a stage, which may be running; `None` if it has none yet."""
    if not exists(folder, stage):
        yield None
        return
    record = open_record(folder, stage=stage)
    try:
        yield record
    finally:
        record.close()


def read_trials(folder: StudyFolder, stage: StageName = "search") -> list[TrialRecord]:
    """Every trial of a stage."""
    with reading(folder, stage) as record:
        return record.trials() if record else []


def read_known(folder: StudyFolder) -> Known:
    """What the study knew before its first trial."""
    path = folder.root / read_spec(folder).known
    try:
        return Known.model_validate_json(read_bounded(path, MAX_KNOWN_BYTES))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read: {error}", "put it back from a copy of the study's folder"
        ) from None


def card(study: Study, study_id: str) -> StudyCard:
    return StudyCard(
        name=study.name,
        id=study_id,
        objectives=study.objectives,
        file_text=study.text,
        space=study.file.space,
        trials=study.file.search.trials,
    )


def study_id(folder: StudyFolder) -> str:
    return read_spec(folder).id


def _identity(file: StudyFile) -> dict[str, Json]:
    """What must not change while a study goes on. Both sides go through the present settings, so
    that one which this version has added makes no difference where it was not written."""
    dumped = file.model_dump(mode="json")
    search = dumped["search"]
    objective = dumped["objective"]
    return {
        "trainable": dumped["trainable"],
        "objective": objective[0] if len(objective) == 1 else objective,
        "search": {key: search[key] for key in ("sampler", "seed", "enqueue", "warm_start")},
        "pruner": dumped["pruner"],
        "storage": dumped["storage"],
        "checkpoints": dumped["checkpoints"],
        "space": dumped["space"],
    }


def _other_than_growth(folder: StudyFolder, study: Study, changes: list[str]) -> list[str]:
    """The changes that are no growth of the space and no more configs to try first."""
    before = thaw(folder)
    others = [line for line in changes if not line.startswith(("space", "search.enqueue"))]
    others += extension(before.space.root, study.space.root)
    enqueued = before.file.search.enqueue
    if study.file.search.enqueue[: len(enqueued)] != enqueued:
        others.append("search.enqueue: may only get more entries, at its end")
    return others


def _conflict(study: Study, folder: StudyFolder, changes: list[str], hint: str) -> StudyConflict:
    shown = "\n".join(f"  {line}" for line in changes[:20])
    return StudyConflict(
        f"there is a study {study.name!r} with other settings:\n{shown}",
        f"{hint}; otherwise " * bool(hint)
        + f"give this one another name, or remove {os.path.relpath(folder.root)}",
    )


def _known(study: Study, home: Home, so_far: Known | None) -> Known:
    """Looks up what the study file refers to in earlier studies."""
    search = study.file.search
    enqueue, notes, trials = [], [], []
    entries = search.enqueue
    if so_far is not None:
        before = settings(home.study(study.name)).search.enqueue
        enqueue, notes, trials = list(so_far.enqueue), list(so_far.notes), list(so_far.trials)
        entries = entries[len(before) :]
    else:
        for name in search.warm_start:
            found, note = _warm_start(study, home.study(name))
            trials += found
            notes.append(note)
    for entry in entries:
        enqueue += _bests(study, home.study(entry["best_of"])) if "best_of" in entry else [entry]
    return Known(enqueue=enqueue, trials=trials, notes=notes)


def _warm_start(study: Study, other: StudyFolder) -> tuple[list[KnownTrial], str]:
    file = settings(other)
    for what, here, there in (
        ("trainable", study.file.trainable, file.trainable),
        ("objective", _words(study.objectives), _words(file.objectives)),
    ):
        if here != there:
            raise InputError(
                f"search.warm_start: study {other.name!r} has another {what}: {there},"
                f" this one {here}",
                "only studies that measure the same teach anything; remove it from the list",
            )
    with reading(other) as record:
        found, why = compatible(record, study.space) if record else ([], Counter())
    total = len(found) + why.total()
    note = f"warm start: {len(found)} of {total} trials of study {other.name!r} are compatible"
    for reason, times in why.most_common(1):
        note += f"; of the others most often ({times}x): {reason}"
    return found, note


def _words(objectives: Objectives) -> str:
    return ", ".join(f"{o.direction} {o.metric}" for o in objectives)


def _bests(study: Study, other: StudyFolder) -> list[Json]:
    """The best config of another study, or its Pareto set."""
    bests = best_trials(read_trials(other), settings(other).objectives)
    if not bests:
        raise InputError(
            f"search.enqueue: no trial of study {other.name!r} is complete",
            "run it first, or remove the entry",
        )
    for trial in bests:
        try:
            locate(study.space.root, trial.config)
        except OutsideSpace as outside:
            raise InputError(
                f"search.enqueue: the best config of study {other.name!r} is not in this space:"
                f" {outside}",
                "widen the space, or write out in enqueue the values that are in it",
            ) from None
    return [trial.config for trial in bests]


def _has_results(folder: StudyFolder) -> bool:
    return any(t.state is not State.RUNNING or t.steps > 0 for t in read_trials(folder))


def _clear(folder: StudyFolder) -> None:
    """Forgets trials that came to nothing."""
    spec = read_spec(folder)
    with suppress(stores.StoreLost):  # which may be why the study is to be another one
        open_checkpoints(folder).clear()
    # The record last: trials without one are taken for a study that lost it.
    shutil.rmtree(folder.root / "trials", ignore_errors=True)
    (folder.root / spec.known).unlink(missing_ok=True)
    forget(spec.file.storage, *spec.journal(folder))
