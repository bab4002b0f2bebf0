"""A study from file to best config. Read `run` from top to bottom."""

from __future__ import annotations

import _thread
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from hpo import frozen, studyfile
from hpo.coordinator import Coordinator, Progress
from hpo.errors import HpoError, InputError, StudyFailed
from hpo.execute import inline
from hpo.execute.worker import Setup
from hpo.home import Home, StudyFolder
from hpo.lock import FileLock, is_held
from hpo.records import Decision, Objective, State, TrialRecord, TrialSpec, best_trial
from hpo.report import report
from hpo.report.best import Best, read_best, write_best
from hpo.search.record import Record
from hpo.seeds import derive
from hpo.space import probes
from hpo.studyfile import Study
from hpo.track import Ending, Publisher, open_tracker
from hpo.trainable import Trial

POLL_S = 0.25
FLUSH_S = 60.0
"""How long the end of a run waits for a tracker that answers slowly; what is left comes later."""

OUTAGE_FLUSH_S = 5.0
"""The same for a tracker that has been failing."""

ENGINE_S = 20.0
"""After so long without an answer from the coordinator the run gives up, as on Ctrl-C."""

Observer = Callable[[Progress, str | None], None]
"""Called a few times a second with the progress and what is wrong with the tracker, if anything."""


@dataclass(frozen=True)
class StudyResult:
    """What a run leaves.

    Args:
        done: whether the budget is used up; otherwise the study was stopped and can be continued.
        running: whether a process is at it now.
        total: trials asked for; `None` for a grid that ends by itself.
        best: the best trial; `None` if none is complete yet.
        kept: what is kept of it; `None` likewise.
        trials: every trial, by number.
        url: the study's page in the tracker, if it has an address.
        trouble: why the tracker is behind; `None` when all is published.
    """

    name: str
    objective: Objective
    done: bool
    running: bool
    total: int | None
    best: TrialRecord | None
    kept: Best | None
    trials: list[TrialRecord]
    folder: Path
    url: str | None
    trouble: str | None

    @property
    def config(self) -> Any:
        """The best config, typed by the trainable's own model; `None` if there is none yet."""
        return self.kept.typed() if self.kept else None

    @property
    def test(self) -> Mapping[str, float]:
        """Test metrics of the best trial, once the study is done."""
        return self.kept.test if self.kept else {}


def run(
    study: str | Path | Study,
    *,
    trials: int | None = None,
    overrides: Mapping[str, str] | None = None,
    inline: bool = False,
    home: str | Path | Home | None = None,
    observer: Observer = lambda progress, trouble: None,
) -> StudyResult:
    """Runs a study, or continues it, to its best config.

    Args:
        study: a study file, the name of a shipped study, or a loaded study.
        trials: the total number of trials, in place of the file's.
        overrides: values as YAML by dotted path, laid over the file.
        inline: run in this process, without Ray.
        home: default `$HPO_HOME`, or `.hpo/` in the working folder.
        observer: shown the progress while the study runs.

    Raises:
        InputError: the study file is wrong, data is missing, the machine lacks what is asked for,
            or a study of that name is another one or is being run.
        StudyFailed: no trial was completed.
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
    # A short wait, since whoever asks whether a study is running takes the lock for a moment.
    lock = FileLock(folder.root / "run.lock", wait_seconds=1.0)
    try:
        if not _is_complete(study, folder):
            check_trainable(study)
        card = frozen.freeze(study, folder)
        report.begin(study, folder)
        tracker = open_tracker(study.file.tracking, home, study.name)
        with _coordinator(study, folder, inline) as (coordinator, execute):
            publisher = Publisher(
                tracker,
                card,
                coordinator.changes,
                folder,
                page=partial(report.page, study, folder),
                derived=lambda trial: study.trainable.derived(trial.config),
            )
            publisher.start()
            flush_s, ending = FLUSH_S, Ending.FAILED
            try:
                if coordinator.work_left():

                    def seen(progress: Progress) -> None:
                        with suppress(OSError):  # a full disk: it is written again at the end
                            keep_best(study, folder, progress)
                        observer(progress, publisher.trouble)

                    with _watch(coordinator, seen):
                        execute()
                progress = coordinator.progress()
                if progress.failure is not None:
                    raise progress.failure
                _, records = coordinator.changes(0)
                done = progress.done
                kept = finish(study, folder, records, done)
                ending = Ending.DONE if done else Ending.STOPPED
            except KeyboardInterrupt:
                flush_s, ending = 0.0, Ending.STOPPED
                raise
            finally:
                publisher.close(OUTAGE_FLUSH_S if publisher.trouble else flush_s, ending)
    finally:
        lock.release()
    return StudyResult(
        name=study.name,
        objective=study.objective,
        done=done,
        running=False,
        total=study.file.search.trials,
        best=best_trial(records, study.objective),
        kept=kept,
        trials=records,
        folder=folder.root,
        url=tracker.url(),
        trouble=publisher.trouble,
    )


def load_study(name: str, home: str | Path | Home | None = None) -> StudyResult:
    """What is known of a study, read from its record; it may be running.

    Raises:
        InputError: there is no such study.
    """
    folder = Home.at(home).study(name)
    file = frozen.settings(folder)
    objective = Objective(file.objective.metric, file.objective.direction)
    exists = Record.exists(folder.journal)
    records = Record(folder.journal, objective).trials() if exists else []
    kept, best = read_best(folder), best_trial(records, objective)
    finished = sum(t.state is not State.RUNNING for t in records)
    return StudyResult(
        name=name,
        objective=objective,
        done=kept is not None and kept.complete and kept.trials == finished,
        running=is_held(folder.root / "run.lock"),
        total=file.search.trials,
        best=best,
        kept=kept if kept and best and kept.trial == best.number else None,
        trials=records,
        folder=folder.root,
        url=None,
        trouble=None,
    )


def check_trainable(study: Study) -> None:
    """Lets the trainable judge configs that together take every choice, before any worker starts.

    Raises:
        InputError: one of them could not run here.
    """
    seen = []
    for drawn in probes(study.space.root):
        if drawn.config not in seen and study.space.rejects(drawn.config) is None:
            seen.append(drawn.config)
            study.trainable.check(study.space.config(drawn.config), study.folder)


def keep_best(study: Study, folder: StudyFolder, progress: Progress) -> None:
    """Writes down the best config so far, when there is a better one."""
    best, kept = progress.best, read_best(folder)
    if best is not None and (kept is None or kept.trial != best.number):
        write_best(report.as_best(study, best, progress.finished, complete=False), folder)


def finish(
    study: Study, folder: StudyFolder, records: list[TrialRecord], done: bool
) -> Best | None:
    """Writes the best config and the report; test metrics are computed here and nowhere else.

    Raises:
        StudyFailed: the study is done and no trial is complete.
    """
    trial = best_trial(records, study.objective)
    if trial is None:
        if done:
            raise StudyFailed(*report.nothing_completed(records, folder))
        return None
    finished = sum(t.state is not State.RUNNING for t in records)
    best = report.as_best(study, trial, finished, done)
    before = read_best(folder)
    if before is not None and before.trial == best.trial and before.test:
        best = best.model_copy(update={"test": before.test})
    elif done:
        write_best(best, folder)  # safe before the trainable is asked once more, which may fail
        best = best.model_copy(update={"test": _test(study, folder, best)})
    write_best(best, folder)
    report.end(study, folder, records, best)
    return best


def _is_complete(study: Study, folder: StudyFolder) -> bool:
    """Whether nothing is left to run, as far as the last run could tell."""
    kept, total = read_best(folder), study.file.search.trials
    return kept is not None and kept.complete and (total is None or total <= kept.trials)


def _test(study: Study, folder: StudyFolder, best: Best) -> Mapping[str, float]:
    seed = derive(study.file.search.seed, "trial", best.trial)
    spec = TrialSpec(best.trial, best.config, seed, lease="")
    checkpoint = folder.checkpoint(best.trial)
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
        isolate=study.file.resources.isolate,
        capture=not in_process,
    )
    load = partial(frozen.thaw, folder)
    coordinator = Coordinator(load, folder)
    try:
        if in_process or not coordinator.work_left():
            yield coordinator, lambda: inline.run(setup, coordinator)
            return
    finally:
        coordinator.close()
    from hpo.execute import ray_tune

    with ray_tune.cluster():
        workers = ray_tune.count_workers(study.file.resources)
        coordinator = ray_tune.start_coordinator(Coordinator, load, folder)
        try:
            yield (
                coordinator,
                lambda: ray_tune.run(setup, study.file.resources, workers, coordinator),
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


@contextmanager
def _watch(coordinator: Coordinator, seen: Callable[[Progress], None]) -> Iterator[None]:
    """Shows progress from a thread of its own, and stops the study cleanly at the first Ctrl-C.

    The second Ctrl-C is Python's own: what runs is left as it is, and runs again next time.
    """
    interrupted, over = threading.Event(), threading.Event()
    troubles: list[Exception] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        if interrupted.is_set():
            signal.signal(number, signal.SIG_DFL)  # should something swallow the exception
            raise KeyboardInterrupt
        interrupted.set()

    def look() -> None:
        answered = time.monotonic()
        while not over.wait(POLL_S):
            try:
                if interrupted.is_set():
                    coordinator.stop()
                progress = coordinator.progress()
                answered = time.monotonic()
            except Exception:  # being restarted, or gone for good with the whole engine
                if time.monotonic() - answered > ENGINE_S:
                    _thread.interrupt_main()
                    time.sleep(1)
                continue
            if not troubles:
                try:
                    seen(progress)
                except Exception as error:  # looking on must not keep Ctrl-C from working
                    troubles.append(error)

    main = threading.current_thread() is threading.main_thread()
    before = {
        number: signal.signal(number, interrupt)
        for number in ((signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if main else ())
    }
    watcher = threading.Thread(target=look, name="hpo-watch", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        for number, handler in before.items():
            signal.signal(number, handler)
    if troubles:
        raise troubles[0]
    seen(coordinator.progress())
