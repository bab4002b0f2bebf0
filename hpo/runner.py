"""Brings the stages of a study to their end, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hpo.engine import Engine
from hpo.progress import Progress
from hpo.publishing import Shown
from hpo.records import State, TrialRecord
from hpo.stage import Stage
from hpo.studyfile import Study
from hpo.watch import watch


@dataclass(frozen=True, slots=True)
class Worked:
    """What a stage came to in this run.

    Args:
        trials: all of its trials, by number.
    """

    trials: list[TrialRecord]
    progress: Progress

    @property
    def over(self) -> bool:
        """Whether nothing is left of it and nobody has asked to stop."""
        return self.progress.done and not self.progress.stopping

    @property
    def succeeded(self) -> bool:
        """Whether it is over, and a trial of it is complete."""
        return self.over and any(trial.state is State.COMPLETE for trial in self.trials)


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs stages of one study, which its tracker shows meanwhile.

    Args:
        seen: called a few times a second with the progress, while there is something to wait for.
    """

    study: Study
    engine: Engine
    shown: Shown
    seen: Callable[[Progress], None]

    def work(self, stage: Stage) -> Worked:
        """Brings a stage to its end, or as far as it gets.

        Raises:
            StudyFailed: it cannot go on.
        """
        with self.engine.coordinating(self.study, stage) as (coordinator, execute):
            name = coordinator.progress().stage
            self.shown.follow(name, coordinator)
            try:
                if coordinator.work_left():
                    with watch(coordinator, self.seen):
                        execute()
                progress = coordinator.progress()
                if progress.failure is not None:
                    raise progress.failure
                _, trials = coordinator.changes(0)
            finally:
                self.shown.leave(name)
        return Worked(trials, progress)
