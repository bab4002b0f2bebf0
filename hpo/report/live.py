"""How a running study shows itself: a live panel on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import time

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hpo.progress import Progress
from hpo.records import Objective, Objectives, State, TrialRecord
from hpo.report.words import count, duration, params_line

LINE_EVERY_S = 5.0
"""Between two plain lines, unless there is a new best."""

_SHOWN = (State.COMPLETE, State.PRUNED, State.DIVERGED, State.OUT_OF_MEMORY, State.FAILED)


class Notes(logging.Handler):
    """Prints what the project says of a run, above the live panel."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.INFO)
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        self.console.print(record.getMessage(), markup=False)


class LiveView:
    """Shows `Progress` as it comes. Use as a context manager; any thread may call `show`."""

    def __init__(self, console: Console, name: str, objectives: Objectives) -> None:
        self.console = console
        self.name = name
        self.objectives = objectives
        self._live = (
            Live(console=console, refresh_per_second=4, transient=True)
            if console.is_terminal
            else None
        )
        self._best: list[int] = []
        self._said = ""
        self._next_line = 0.0

    def __enter__(self) -> LiveView:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, progress: Progress, trouble: str | None = None) -> None:
        if self._live:
            self._live.update(self._panel(progress, trouble))
        else:
            self._line(progress)

    def _panel(self, progress: Progress, trouble: str | None) -> Group:
        facts = Table.grid(padding=(0, 2))
        facts.add_row(Text(_noun(progress), style="dim"), counts(progress))
        facts.add_row(Text("pace", style="dim"), self._pace(progress))
        best = _best(progress)
        if best:
            facts.add_row(Text("best", style="dim"), best_line(best, self.objectives))
        if len(self.objectives) == 1 and best:
            facts.add_row("", Text(params_line(best[0].params), style="dim"))
        if progress.ended_by:
            facts.add_row(Text("ending", style="dim"), Text(progress.ended_by))
        if progress.stopping:
            facts.add_row(
                "", Text("stopping: running trials are being saved (Ctrl-C: do not wait)")
            )
        if trouble:
            facts.add_row(Text("tracker", style="yellow"), Text(f"behind: {trouble}"))
        bar = ProgressBar(total=progress.total, completed=progress.finished, width=48)
        return Group(Text(_title(self.name, progress), style="bold"), bar, facts)

    def _line(self, progress: Progress) -> None:
        best = [trial.number for trial in _best(progress)]
        line = f"{_title(self.name, progress)}: {counts(progress)}"
        if best:
            line += f"; best {best_line(_best(progress), self.objectives)}"
        if progress.ended_by:
            line += f"; ending by {progress.ended_by}"
        due = best != self._best or time.monotonic() >= self._next_line
        if line == self._said or not due:
            return
        self._best, self._said = best, line
        self._next_line = time.monotonic() + LINE_EVERY_S
        self.console.print(f"{line}; {self._pace(progress)}", markup=False)

    def _pace(self, progress: Progress) -> str:
        return pace(progress, time.time() - progress.started)


def _title(name: str, progress: Progress) -> str:
    return name if progress.stage == "search" else f"{name}, final stage"


def _noun(progress: Progress) -> str:
    return "trials" if progress.stage == "search" else "runs"


def _best(progress: Progress) -> tuple[TrialRecord, ...]:
    """The best so far; a final stage looks for the best mean, not for the luckiest run."""
    return progress.best if progress.stage == "search" else ()


def counts(progress: Progress) -> str:
    """`12/60 done (5 complete, 7 pruned), 2 running`."""
    parts = [
        f"{progress.counts[s]} {s.value.replace('_', ' ')}"
        for s in _SHOWN
        if progress.counts.get(s)
    ]
    running = progress.counts.get(State.RUNNING, 0)
    of_total = "" if progress.total is None else f"/{progress.total}"
    text = f"{progress.finished}{of_total} done"
    text += f" ({', '.join(parts)})" if parts else ""
    return text + (f", {running} running" if running else "")


def pace(progress: Progress, seconds: float) -> str:
    """Trials a minute in the `seconds` of this stage here, and the time left at that pace."""
    if not progress.finished_here or not seconds:
        return f"{seconds:.0f} s"
    text = f"{progress.finished_here / seconds * 60:.0f} {_noun(progress)}/min"
    remaining = left(progress, seconds)
    return f"{text}, {remaining} left" if remaining else text


def left(progress: Progress, seconds: float) -> str:
    """The time left at the pace of the `seconds` of this stage; empty where that is not known."""
    if progress.total is None or progress.stopping or not progress.finished_here:
        return ""
    return duration((progress.total - progress.finished) * seconds / progress.finished_here)


def best_line(best: tuple[TrialRecord, ...], objectives: Objectives) -> str:
    """The best value of each objective; with several, the size of the Pareto set, too."""
    shown = []
    for index, objective in enumerate(objectives):
        value, leader = _leader(best, objective, index)
        shown.append(f"{objective.metric} {value:.6g} (trial {leader})")
    if len(objectives) > 1:
        shown.append(f"{count(len(best), 'trial')} in the Pareto set")
    return ", ".join(shown)


def _leader(best: tuple[TrialRecord, ...], objective: Objective, index: int) -> tuple[float, int]:
    first = min(best, key=lambda trial: (objective.rank(trial.values[index]), trial.number))
    return first.values[index], first.number
