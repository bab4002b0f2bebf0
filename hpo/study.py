"""A study from file to best config. Read `run` from top to bottom."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from hpo import datasets, frozen, run_lock, studyfile
from hpo.budget import Spending
from hpo.engine import Engine
from hpo.errors import InputError, StudyFailed
from hpo.execute.share import Cluster
from hpo.finale import FinalWorked, run_final
from hpo.held_out import keep_tested
from hpo.home import Home, StudyFolder
from hpo.progress import Observer, Progress
from hpo.publishing import Shown
from hpo.records import Json, TrialRecord, best_trials
from hpo.report import report
from hpo.report.kept import Kept, read_kept, write_kept
from hpo.result import StudyResult, is_complete
from hpo.reuse import bundling
from hpo.runner import Runner, Worked
from hpo.search import samplers
from hpo.search.importance import importances
from hpo.space import probes
from hpo.stage import Search
from hpo.studyfile import Study
from hpo.track import Ending

log = logging.getLogger(__name__)


def run(
    study: str | Path | Study,
    *,
    trials: int | None = None,
    overrides: Mapping[str, str] | None = None,
    inline: bool = False,
    extend: bool = False,
    home: str | Path | Home | None = None,
    observer: Observer = lambda progress, trouble: None,
    cluster: Cluster | None = None,
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
        cluster: how to get to the Ray cluster that trials run on; default: the one that this
            process is connected with, or a local one for this run.

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
    with run_lock.hold(folder), _logging(folder):
        data = None if is_complete(study, folder) else check_trainable(study)
        card = frozen.freeze(study, home, extend)
        if data is not None:
            datasets.write_down(data, folder)
        card = replace(card, data=datasets.read(folder))
        _say_what_is_known(study, folder)
        report.begin(study, folder)
        with Engine(inline, cluster) as engine, Shown(study, card, folder, home) as shown:

            def seen(progress: Progress) -> None:
                if progress.stage == "search":
                    with suppress(OSError):  # a full disk: it is written again at the end
                        keep_best(study, folder, progress)
                else:
                    shown.refresh()
                observer(progress, shown.trouble)

            runner = Runner(study, engine, shown, seen)
            searched, final = runner.work(Search(folder)), None
            if study.file.final is not None and searched.succeeded:
                final = run_final(study, folder, searched.trials, runner)
            kept = finish(study, folder, searched, final)
            done = kept is not None and kept.complete
            shown.ending = Ending.DONE if done else Ending.STOPPED
    return StudyResult(
        name=study.name,
        objectives=study.objectives,
        done=done,
        running=False,
        total=study.file.search.trials,
        front=best_trials(searched.trials, study.objectives),
        kept=kept,
        trials=searched.trials,
        runs=final.trials if final else [],
        spent=searched.progress.spent + (final.progress.spent if final else Spending()),
        ended_by=searched.progress.ended_by,
        folder=folder.root,
        url=shown.url or ("hpo ui" if study.file.tracking.uri == "default" else None),
        trouble=shown.trouble,
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
    configs = [drawn.config for drawn in probes(study.space.root)]
    for config in configs if study.file.baseline is None else [study.file.baseline, *configs]:
        if config not in seen and study.space.rejects(config) is None:
            seen.append(config)
            study.trainable.check(study.space.config(config), study.folder)
    return datasets.fingerprint(study, map(study.space.config, seen))


def keep_best(study: Study, folder: StudyFolder, progress: Progress) -> None:
    """Writes down the best config so far, when there is a better one.

    The winner of a final stage stands until there is another one: what a search finds after it was
    found with luck again.
    """
    best, kept = list(progress.best), read_kept(folder)
    if kept is not None and kept.final is not None and study.file.final is not None:
        return
    if best and (kept is None or kept.numbers != tuple(t.number for t in best)):
        write_kept(report.as_kept(study, best, progress.finished, complete=False), folder)


def finish(
    study: Study, folder: StudyFolder, searched: Worked, final: FinalWorked | None
) -> Kept | None:
    """Writes the best config, the report and, once the study is done, its bundle.

    Test metrics are computed here and nowhere else.

    Raises:
        StudyFailed: the study is done and no trial is complete.
    """
    trials, progress = searched.trials, searched.progress
    front = best_trials(trials, study.objectives)
    if not front:
        if progress.done and progress.ended_by:
            raise StudyFailed(
                f"no trial is complete, and the study is over: {progress.ended_by}",
                "raise that budget and run the study again to continue it",
            )
        if progress.done:
            raise StudyFailed(*report.nothing_completed(trials, folder))
        return None
    kept = keep_tested(study, folder, _kept(study, folder, front, searched, final))
    with frozen.reading(folder) as record:
        assert record is not None, "there are trials"
        curves, important = record.curves(), importances(record, study.space)
    spent = progress.spent + (final.progress.spent if final else Spending())
    report.end(study, folder, trials, kept, curves, important, spent, progress.ended_by)
    bundling.leave(study, folder, kept)
    return kept


def _kept(
    study: Study,
    folder: StudyFolder,
    front: Sequence[TrialRecord],
    searched: Worked,
    final: FinalWorked | None,
) -> Kept:
    """What is kept of the study as it is now, test metrics aside."""
    finished = searched.progress.finished
    if study.file.final is None:
        return report.as_kept(study, front, finished, searched.progress.done)
    if final is not None and final.found is not None:
        trial = final.found.winner.trial
        assert trial is not None, "the baseline cannot win"
        kept = report.as_kept(study, [searched.trials[trial]], finished, complete=True)
        return kept.model_copy(update={"final": final.found})
    before = read_kept(folder)
    if before is not None and before.final is not None:
        return before.model_copy(update={"complete": False})
    return report.as_kept(study, front, finished, complete=False)
