"""What a coordinator hands out: the trials of a search, or those of its final stage."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from hpo import frozen, seeds
from hpo.budget import BudgetSettings
from hpo.checkpoints import Checkpoints
from hpo.endings import Rules, Valued
from hpo.home import StudyFolder
from hpo.records import StageName, State, TrialRecord, TrialSpec
from hpo.search import grid
from hpo.search.draws import Draws
from hpo.search.record import Record
from hpo.search.samplers import Proposal
from hpo.studyfile import Study
from hpo.trainable import fusion_key


class Source(Protocol):
    """Where new trials come from."""

    def has_next(self) -> bool:
        """Whether there is anything left to draw."""

    def next(self) -> Future[Proposal | None]:
        """The draw for the next trial; the same again until that is opened."""

    def open(self, proposal: Proposal, workers: int) -> TrialRecord:
        """Opens the next trial with what was drawn for it."""

    def ended(self, number: int) -> None:
        """Hears that a trial has ended."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Opened:
    """A stage that is being worked on.

    Args:
        record: its own, open for writing.
        checkpoints: what its trials have saved.
        asked: trials after which no more are opened; `None`: none such number.
        total: trials there will be at most, for people; `None` if unknown.
        seed: of a trial, by its number.
        rules: for what a trial says, by its number.
        refit: how many steps a trial trains for on training and validation rows together, by its
            number; `None`: it is no refit.
        learns: whether what is drawn depends on results.
        keeps_all: whether what every complete trial saved is kept, and not only that of the best.
    """

    name: StageName
    study: Study
    record: Record
    checkpoints: Checkpoints
    source: Source
    budget: BudgetSettings
    asked: int | None
    total: int | None
    seed: Callable[[int], int]
    rules: Callable[[int], Rules]
    refit: Callable[[int], int | None] = lambda number: None
    learns: bool = False
    keeps_all: bool = False

    def spec(self, trial: TrialRecord, lease: str) -> TrialSpec:
        """What a worker is told of a trial."""
        number = trial.number
        saved, refit = self.checkpoints.saved(number), self.refit(number)
        return TrialSpec(number, trial.config, self.seed(number), lease, saved=saved, refit=refit)

    def fusion_key(self, trial: TrialRecord) -> str | None:
        """What a trial must have in common with others to train with them."""
        return fusion_key(self.study.trainable, trial.config, self.refit(trial.number))

    def has_next(self, opened: int) -> bool:
        """Whether there is another trial to open after so many."""
        return (self.asked is None or opened < self.asked) and self.source.has_next()

    def keeps(self, trial: TrialRecord, best: Collection[TrialRecord]) -> bool:
        """Whether what an ended trial saved is of any use: for most only until they end."""
        return trial.state is State.COMPLETE if self.keeps_all else trial in best


class Stage(ABC):
    """A part of a study with a folder and a record of its own. Can be sent to other processes."""

    @property
    @abstractmethod
    def folder(self) -> StudyFolder:
        """Where its record, metrics and checkpoints are."""

    @abstractmethod
    def open(self) -> Opened:
        """Opens it for the one process that writes its record."""

    @abstractmethod
    def checkpoints(self) -> Checkpoints:
        """What its trials have saved."""


@dataclass(frozen=True, slots=True)
class Search(Stage):
    """The search itself.

    Args:
        study: the study's folder, which is the search's own.
    """

    study: StudyFolder

    @property
    def folder(self) -> StudyFolder:
        return self.study

    def open(self) -> Opened:
        study = frozen.thaw(self.folder)
        search = study.file.search
        record = frozen.open_record(self.folder, writable=True)
        known = frozen.read_known(self.folder)
        draws = Draws(
            record,
            study.space,
            search,
            study.file.pruner,
            enqueue=known.enqueue,
            earlier=[(trial.config, trial.told()) for trial in known.trials],
            extension=study.extension,
        )
        # Of a grid, the points that the config model accepts may be fewer.
        size = grid.size(study.space.root) if search.sampler == "grid" else math.inf
        valued = Valued(study.objectives)
        total = min(size, search.trials or math.inf)
        return Opened(
            name="search",
            study=study,
            record=record,
            checkpoints=self.checkpoints(),
            source=draws,
            budget=study.file.budget,
            asked=search.trials,
            total=None if total == math.inf else int(total),
            seed=lambda number: seeds.of_trial(search.seed, number),
            rules=lambda number: valued,
            learns=search.learns,
        )

    def checkpoints(self) -> Checkpoints:
        return frozen.open_checkpoints(self.folder)
