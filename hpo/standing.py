"""How a study that was submitted stands, as people are told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hpo.snapshot import Snapshot


class StudyState(StrEnum):
    """Where a study is on its way."""

    QUEUED = "queued"
    RUNNING = "running"
    STOPPED = "stopped"
    FINISHED = "finished"
    FAILED = "failed"
    INTERRUPTED = "interrupted"  # the service went down under it

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens until somebody does something."""
        return self not in (StudyState.QUEUED, StudyState.RUNNING)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a study that was submitted stands.

    Args:
        why: what there is to say of it; may be empty.
        page: its address in the tracker; empty if it has none.
        snapshot: how far it was when its driver last looked; `None` if it does not run.
    """

    state: StudyState
    why: str
    page: str
    snapshot: Snapshot | None = None
