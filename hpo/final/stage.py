"""The final stage, as a coordinator hands it out."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass

from hpo import frozen
from hpo.budget import BudgetSettings
from hpo.checkpoints import Checkpoints
from hpo.endings import Refit, Valued
from hpo.final.plan import Plan, read_plan
from hpo.home import StudyFolder
from hpo.records import TrialRecord
from hpo.search.record import Origin, Record
from hpo.search.samplers import Proposal
from hpo.space import Draw
from hpo.stage import Opened, Stage


@dataclass(frozen=True, slots=True)
class Final(Stage):
    """The final stage of a study.

    Args:
        parent: the study's folder; the stage's own lies in it.
    """

    parent: StudyFolder

    @property
    def folder(self) -> StudyFolder:
        return self.parent.final

    def open(self) -> Opened:
        study = frozen.thaw(self.parent)
        plan = read_plan(self.folder)
        record = frozen.open_record(self.parent, writable=True, stage="final")
        budget, valued, refit = study.file.budget, Valued(study.objectives), Refit()
        return Opened(
            name="final",
            study=study,
            record=record,
            checkpoints=self.checkpoints(),
            source=Repeats(record, plan),
            # What the search may spend is spent; a final stage that stops half way says nothing.
            budget=BudgetSettings(
                trial_seconds=budget.trial_seconds, max_failures=budget.max_failures
            ),
            asked=len(plan.runs),
            total=len(plan.runs),
            seed=lambda number: plan.runs[number].seed,
            rules=lambda number: valued if plan.runs[number].refit is None else refit,
            refit=lambda number: plan.runs[number].refit,
            keeps_all=True,
        )

    def checkpoints(self) -> Checkpoints:
        return frozen.open_checkpoints(self.parent, "final")


class Repeats:
    """Hands out the runs of a plan in their order."""

    def __init__(self, record: Record, plan: Plan) -> None:
        self._record = record
        self._plan = plan

    def has_next(self) -> bool:
        return len(self._record) < len(self._plan.runs)

    def next(self) -> Future[Proposal | None]:
        drawn: Future[Proposal | None] = Future()
        number = len(self._record)
        config = self._plan.runs[number].config if self.has_next() else None
        drawn.set_result(None if config is None else Proposal(Draw(config, {}, {})))
        return drawn

    def open(self, proposal: Proposal, workers: int) -> TrialRecord:
        return self._record.open(proposal, Origin(), {})

    def ended(self, number: int) -> None:
        """Nothing to learn."""

    def close(self) -> None:
        """Nothing to end."""
