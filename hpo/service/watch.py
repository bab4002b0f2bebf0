"""Looks on at a study that the service runs."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from rich.console import Console, RenderableType

from hpo import frozen
from hpo.errors import InputError
from hpo.home import Home
from hpo.report import status
from hpo.report.live import LiveView
from hpo.result import load_study
from hpo.service.standing import standing
from hpo.standing import Standing, StudyState

LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class End:
    """How a study that was watched ended.

    Args:
        parts: what there is of it, as at the end of `hpo run`.
        failure: why it failed; empty if it did not.
        done: whether it has finished.
        remedy: how to go on with it, where it has not.
    """

    parts: tuple[RenderableType, ...]
    failure: str
    done: bool
    remedy: str


def watch(name: str, home: Home, console: Console) -> End:
    """Shows a study until it ends.

    Raises:
        InputError: it was never submitted.
    """
    view = LiveView(console, name, frozen.settings(home.study(name)).objectives)
    said = ""
    with view:
        while not (now := _standing(name, home)).state.is_over:
            if now.snapshot is not None:
                view.show(now.snapshot.progress, now.snapshot.trouble)
            elif (line := f"{name}: {now.state} {now.why}".rstrip()) != said:
                said = line
                console.print(line, markup=False)
            time.sleep(LOOK_S)
    result = replace(load_study(name, home), url=now.page or None)
    return End(
        parts=tuple(status.result(result)),
        failure=now.why if now.state is StudyState.FAILED else "",
        done=now.state is StudyState.FINISHED,
        remedy=f"{now.state}: {now.why}",
    )


def _standing(name: str, home: Home) -> Standing:
    now = standing(name, home)
    if now is None:
        raise InputError(f"study {name!r} was never submitted", "hpo submit STUDY does that")
    return now
