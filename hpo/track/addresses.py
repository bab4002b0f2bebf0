"""Where the pages of a study are in MLflow's UI, and the notes that lead there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hpo.track import contents, views
from hpo.track.base import StudyPage

TRAINING_VIEW = "workflowType=machine_learning"
"""Without it the UI takes a page for one about language models, and hides the curves."""

MAX_NOTED = 20  # studies in an experiment's note, which MLflow refuses beyond 20000 characters


@dataclass(frozen=True)
class Addresses:
    """Where the pages of a study are, below a server's address.

    Args:
        experiment, parent: ids.
    """

    experiment: str
    parent: str

    def table(self, stage: str = "search") -> str:
        """Its trials, best first."""
        return of_view(self.experiment, views.key(self.parent, stage))

    def charts(self, stage: str = "search") -> str:
        """The curves of the best of them."""
        return f"{self.table(stage)}&compareRunsMode=CHART"

    def page(self) -> str:
        """The study's own run: how far it is, its result."""
        return f"#/experiments/{self.experiment}/runs/{self.parent}?{TRAINING_VIEW}"

    def artifact(self, path: str) -> str:
        run = f"#/experiments/{self.experiment}/runs/{self.parent}"
        return f"{run}/artifacts/{path}?{TRAINING_VIEW}"


def of_view(experiment: str, key: str) -> str:
    """The page of a saved view."""
    return f"#/experiments/{experiment}/runs?viewStateShareKey={key}&{TRAINING_VIEW}"


def note(studies: Iterable[tuple[str, Addresses]]) -> str:
    """The experiment's own description: the way to each of its studies.

    Args:
        studies: name and addresses, the newest first.
    """
    lines = [
        f"**{name}**: [trials, best first]({at.table()}), [curves of the best]({at.charts()}),"
        f" [progress and result]({at.page()})"
        for name, at in studies
    ]
    return "\n\n".join(lines[:MAX_NOTED])


def is_ours(text: str) -> bool:
    """Whether a note is one of these; any other is its writer's, and stays."""
    return not text or f"viewStateShareKey={views.OURS}" in text


def links(at: Addresses, page: StudyPage) -> str:
    """Where a study's page leads to."""
    found = [f"[Trials, best first]({at.table()})", f"[curves of the best]({at.charts()})"]
    if page.final:
        found.append(f"[final stage]({at.table('final')})")
    if page.bundle:
        found.append(f"[bundle]({at.artifact(contents.bundle_path(page.bundle))})")
    if page.artifacts:
        found.append(f"[report]({at.artifact('summary.md')})")
    return " · ".join(found)
