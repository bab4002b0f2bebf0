"""A study from file to best config. Read `run` from top to bottom."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from hpo import datasets, frozen, studyfile
from hpo.coordinator import Coordinator
from hpo.errors import HpoError, InputError, StudyFailed
from hpo.execute import inline
from hpo.execute.worker import Setup
from hpo.home import Home, StudyFolder
from hpo.progress import Progress
from hpo.publishing import FLUSH_S, OUTAGE_FLUSH_S, publisher_of, running
from hpo.records import (
    Decision,
    Json,
    TrialRecord,
    TrialSpec,
    best_trials,
)
from hpo.report import report
from hpo.report.kept import Kept, read_kept, write_kept
from hpo.result import StudyResult
from hpo.reuse import bundling
from hpo.search import samplers
from hpo.search.importance import importances
from hpo.seeds import derive
from hpo.space import probes
from hpo.stage import Search
from hpo.studyfile import Study
from hpo.track import Ending, open_tracker
from hpo.trainable import Trial
from hpo.watch import watch

log = logging.getLogger(__name__)

Observer = Callable[[Progress, str | None], None]
"""Called a few times a second with the progress and what is wrong with the tracker, if anything."""


def run(
    study: str | Path | Study,
    *,
    trials: int | None = None,
    overrides: Mapping[str, str] | None = None,
    inline: bool = False,
    extend: bool = False,
    home: str | Path | Home | None = None,
    observer: Observer = lambda progress, trouble: None,
) -> StudyResult:
    """Runs a study, or continues it, to its best config.

    Args:
        study: a study file, the name of a shipped study, or a loaded study.
        trials: the total number of trials, in place of the file's.
        overrides: values as YAML by dotted path, laid over the file.
        inline: run in this process, without Ray.
        extend: the space may have grown since the last run: wider ranges, more choices.
        home: default `$HPO_HOME`, or `.hpo/` in the working folder.
        observer: shown the progress while the study runs.

    Raises:
        InputError: the study file is wrong, data is missing, the machine lacks what is asked for,
            or a study of that name is another one or is being run.
        StudyFailed: no trial was completed, or so many in a row failed that the study gave up.
    """
    if isinstance(study, Study):
        if trials is not None or overrides:
            raise InputError(
                "trials and overrides go with a study file, not with a study that is loaded",
                "give them to studyfile.load",
            )
    else:
        overrides = dict(overrides or {})
        if trials is not None:
            overrides["search.trials"] = str(trials)
        study = studyfile.load(study, overrides)
    home = Home.at(home)
    home.make()
    folder = home.study(study.name)
    with running(folder), _logging(folder):
        data = None if _is_complete(study, folder) else check_trainable(study)
        card = frozen.freeze(study, home, extend)
        if data is not None:
            datasets.write_down(data, folder)
        card = replace(card, data=datasets.read(folder))
        _say_what_is_known(study, folder)
        report.begin(study, folder)
        tracker = open_tracker(study.file.tracking, home, study.name)
        with _coordinator(study, folder, inline) as (coordinator, execute):
            publisher = publisher_of(study, card, folder, tracker, coordinator)
            publisher.start()
            flush_s, ending = FLUSH_S, Ending.FAILED
            try:
                if coordinator.work_left():

                    def seen(progress: Progress) -> None:
                        with suppress(OSError):  # a full disk: it is written again at the end
                            keep_best(study, folder, progress)
                        observer(progress, publisher.trouble)

                    with watch(coordinator, seen):
                        execute()
                progress = coordinator.progress()
                if progress.failure is not None:
                    raise progress.failure
                _, records = coordinator.changes(0)
                kept = finish(study, folder, records, progress)
                ending = Ending.DONE if progress.done else Ending.STOPPED
            except KeyboardInterrupt:
                flush_s, ending = 0.0, Ending.STOPPED
                raise
            finally:
                publisher.close(OUTAGE_FLUSH_S if publisher.trouble else flush_s, ending)
    return StudyResult(
        name=study.name,
        objectives=study.objectives,
        done=progress.done,
        running=False,
        total=study.file.search.trials,
        front=best_trials(records, study.objectives),
        kept=kept,
        trials=records,
        spent=progress.spent,
        ended_by=progress.ended_by,
        folder=folder.root,
        url=tracker.url() or ("hpo ui" if study.file.tracking.uri == "default" else None),
        trouble=publisher.trouble,
    )


@contextmanager
def _logging(folder: StudyFolder) -> Iterator[None]:
    """What the project says of this run is kept beside the record."""
    project = logging.getLogger("hpo")
    project.setLevel(logging.INFO)
    handler = logging.FileHandler(folder.log, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    project.addHandler(handler)
    try:
        yield
    finally:
        project.removeHandler(handler)
        handler.close()


def _say_what_is_known(study: Study, folder: StudyFolder) -> None:
    search = study.file.search
    chosen = samplers.choice(
        study.space, search, objectives=len(study.objectives), pruner=study.file.pruner
    )
    for line in filter(None, (chosen, *frozen.read_known(folder).notes)):
        log.info(line)


def check_trainable(study: Study) -> dict[str, str]:
    """Lets the trainable judge configs that together take every choice, before any worker starts.

    Returns:
        digests of the data that all of them see, by name.

    Raises:
        InputError: one of them could not run here.
    """
    seen: list[Json] = []
    for drawn in probes(study.space.root):
        if drawn.config not in seen and study.space.rejects(drawn.config) is None:
            seen.append(drawn.config)
            study.trainable.check(study.space.config(drawn.config), study.folder)
    return datasets.fingerprint(study, map(study.space.config, seen))


def keep_best(study: Study, folder: StudyFolder, progress: Progress) -> None:
    """Writes down the best config so far, when there is a better one."""
    best, kept = list(progress.best), read_kept(folder)
    if best and (kept is None or kept.numbers != tuple(t.number for t in best)):
        write_kept(report.as_kept(study, best, progress.finished, complete=False), folder)


def finish(
    study: Study, folder: StudyFolder, records: list[TrialRecord], progress: Progress
) -> Kept | None:
    """Writes the best config, the report and, once the study is done, its bundle.

    Test metrics are computed here and nowhere else.

    Raises:
        StudyFailed: the study is done and no trial is complete.
    """
    front = best_trials(records, study.objectives)
    if not front:
        if progress.done and progress.ended_by:
            raise StudyFailed(
                f"no trial is complete, and the study is over: {progress.ended_by}",
                "raise that budget and run the study again to continue it",
            )
        if progress.done:
            raise StudyFailed(*report.nothing_completed(records, folder))
        return None
    kept = report.as_kept(study, front, progress.finished, progress.done)
    before = read_kept(folder)
    known = {k.trial: k.test for k in before.best if k.test} if before else {}
    if progress.done:
        write_kept(kept, folder)  # safe before the trainable is asked once more, which may fail
    tests = {
        trial.number: known.get(trial.number)
        or (_test(study, folder, trial) if progress.done else {})
        for trial in front
    }
    tested = [k.model_copy(update={"test": tests[k.trial]}) for k in kept.best]
    kept = kept.model_copy(update={"best": tested})
    write_kept(kept, folder)
    with frozen.reading(folder) as record:
        assert record is not None, "there are trials"
        curves, important = record.curves(), importances(record, study.space)
    report.end(study, folder, records, kept, curves, important, progress.spent, progress.ended_by)
    bundling.leave(study, folder, kept)
    return kept


def _is_complete(study: Study, folder: StudyFolder) -> bool:
    """Whether nothing is left to run, as far as the last run could tell."""
    kept, total = read_kept(folder), study.file.search.trials
    return kept is not None and kept.complete and (total is None or total <= kept.trials)


def _test(study: Study, folder: StudyFolder, best: TrialRecord) -> Mapping[str, float]:
    seed = derive(study.file.search.seed, "trial", best.number)
    spec = TrialSpec(best.number, best.config, seed, lease="")
    checkpoint = frozen.open_checkpoints(folder).local(best.number)
    trial = Trial(spec, study.folder, checkpoint, lambda report: Decision.PAUSE)
    try:
        return study.trainable.test(study.space.config(best.config), trial)
    except HpoError:
        raise
    except Exception as error:
        raise StudyFailed(
            f"the search is done, but test metrics failed: {type(error).__name__}: {error}",
            "mend that and run the study again: only the test is left to do",
        ) from error


@contextmanager
def _coordinator(
    study: Study, folder: StudyFolder, in_process: bool
) -> Iterator[tuple[Coordinator, Callable[[], None]]]:
    """The coordinator, here or as a Ray actor, and what sets workers to work until all is done."""
    setup = Setup(
        trainable=study.file.trainable,
        folder=study.folder,
        study=folder,
        checkpoints=frozen.open_checkpoints(folder),
        isolate=study.file.resources.isolate,
        capture=not in_process,
    )
    coordinator = Coordinator(Search(folder))
    try:
        if in_process or not coordinator.work_left():
            yield coordinator, lambda: inline.run(setup, coordinator)
            return
    finally:
        coordinator.close()
    from hpo.execute import nodes, ray_tune

    with ray_tune.cluster():
        nodes.check(study.file.resources, setup.checkpoints)
        coordinator = ray_tune.start_coordinator(Coordinator, Search(folder))
        try:
            yield (
                coordinator,
                lambda: ray_tune.run(setup, study.file.resources, coordinator),
            )
        except ray_tune.ENGINE_ERRORS as error:
            if isinstance(error, HpoError):  # ours, raised in the coordinator's process
                raise
            raise StudyFailed(
                f"Ray failed: {str(error).strip().splitlines()[-1][:200]}",
                "run the study again to continue it: nothing that finished is lost",
            ) from error
        finally:
            with suppress(Exception):  # it may be gone, and what went wrong before matters more
                coordinator.close()
