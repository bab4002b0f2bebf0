"""Why a study cannot go on, in words, each with what to do about it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from hpo.checkpoints import StoreLost
from hpo.errors import HpoError, InputError, StudyFailed
from hpo.space.messages import did_you_mean


def sampler_failed(study: str, sampler: str, error: Exception) -> HpoError:
    """A draw has raised something."""
    if isinstance(error, HpoError):
        return error
    return StudyFailed(
        f"the sampler {sampler} failed: {type(error).__name__}: {error}",
        "run the study again to continue it; if it fails again, begin one of another name"
        f" with another sampler and search.warm_start: [{study}]",
    )


def workers_died(deaths: int) -> HpoError:
    """So many in a row, holding nothing that could be to blame."""
    return StudyFailed(
        f"{deaths} workers died, one after the other", "run the study with --inline to see why"
    )


def nobody_has_the_store(lost: StoreLost) -> HpoError:
    """The store for checkpoints is out of reach for all."""
    hint = "mend that and run the study again: nothing that was recorded is lost"
    return StudyFailed(lost.message, f"{lost.hint}; {hint}" if lost.hint else hint)


def trials_failed(why: str, traceback: Path) -> HpoError:
    """Too many in a row; the traceback of the last one may exist."""
    hint = f"its traceback is in {traceback}; " if traceback.exists() else ""
    return StudyFailed(why, f"{hint}mend that and run the study again to continue it")


def unreported(metric: str, names: Collection[str], where: str) -> HpoError:
    """The objective is about a metric that the trainable does not have."""
    known = ", ".join(sorted(names)) or "nothing"
    return InputError(
        f"objective.metric is {metric!r}, but in {where} the trainable has: {known}"
        + did_you_mean(metric, names),
        "set objective.metric to one of them, or report it",
    )
