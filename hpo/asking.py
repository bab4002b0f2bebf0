"""What a trainable is asked about a run that has ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hpo.checkpoints import Checkpoints
from hpo.errors import HpoError, StudyFailed
from hpo.records import Decision, TrialSpec
from hpo.studyfile import Study
from hpo.trainable import Trial


@contextmanager
def ended_run(
    study: Study, checkpoints: Checkpoints, spec: TrialSpec, what: str
) -> Iterator[tuple[Any, Trial]]:
    """The typed config of a run and its trial, with what it saved.

    Args:
        what: is asked for; of the study, in a word or two.

    Raises:
        StudyFailed: the trainable fails at it.
    """
    folder = checkpoints.local(spec.number)
    trial = Trial(spec, study.folder, folder, lambda report: Decision.PAUSE)
    try:
        yield study.space.config(dict(spec.config)), trial
    except HpoError:
        raise
    except Exception as error:
        raise StudyFailed(
            f"the study has run, but its {what} failed: {type(error).__name__}: {error}",
            "mend that and run the study again: only this is left to do",
        ) from error
