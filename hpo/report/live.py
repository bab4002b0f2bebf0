"""How a running study shows itself: a live panel on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hpo.coordinator import Progress
from hpo.records import State, TrialRecord
from hpo.report.summary import duration, params_line

LINE_EVERY_S = 5.0
"""Between two plain lines, unless there is a new best."""

_SHOWN = (State.COMPLETE, State.PRUNED, State.DIVERGED, State.OUT_OF_MEMORY, State.FAILED)


class LiveView:
    """Shows `Progress` as it comes. Use as a context manager; any thread may call `show`."""

    def __init__(self, console: Console, name: str, metric: str) -> None:
        self.console = console
        self.name = name
        self.metric = metric
        self._live = (
            Live(console=console, refresh_per_second=4, transient=True)
            if console.is_terminal
            else None
        )
        self._best: int | None = None
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
        facts.add_row(Text("trials", style="dim"), counts(progress))
        facts.add_row(Text("pace", style="dim"), pace(progress))
        if progress.best:
            facts.add_row(Text("best", style="dim"), best_line(progress.best, self.metric))
            facts.add_row("", Text(params_line(progress.best.params), style="dim"))
        if progress.stopping:
            facts.add_row(
                "", Text("stopping: running trials are being saved (Ctrl-C: do not wait)")
            )
        if trouble:
            facts.add_row(Text("tracker", style="yellow"), Text(f"behind: {trouble}"))
        bar = ProgressBar(total=progress.total, completed=progress.finished, width=48)
        return Group(Text(self.name, style="bold"), bar, facts)

    def _line(self, progress: Progress) -> None:
        best = progress.best.number if progress.best else None
        line = f"{self.name}: {counts(progress)}"
        if progress.best:
            line += f"; best {best_line(progress.best, self.metric)}"
        due = best != self._best or time.monotonic() >= self._next_line
        if line == self._said or not due:
            return
        self._best, self._said = best, line
        self._next_line = time.monotonic() + LINE_EVERY_S
        self.console.print(f"{line}; {pace(progress)}", markup=False)


def counts(progress: Progress) -> str:
    """`12/60 done: 5 complete, 7 pruned; 2 running`."""
    parts = [f"{progress.counts[s]} {s.value}" for s in _SHOWN if progress.counts.get(s)]
    running = progress.counts.get(State.RUNNING, 0)
    text = f"{progress.finished}/{progress.total} done"
    text += f" ({', '.join(parts)})" if parts else ""
    return text + (f", {running} running" if running else "")


def pace(progress: Progress) -> str:
    """Trials a minute in this run, and the time left at that pace."""
    seconds = time.time() - progress.started
    if not progress.finished_here:
        return f"{seconds:.0f} s"
    rate = progress.finished_here / seconds
    text = f"{rate * 60:.0f} trials/min"
    if not progress.stopping:
        text += f", {duration((progress.total - progress.finished) / rate)} left"
    return text


def best_line(best: TrialRecord, metric: str) -> str:
    return f"{metric} {best.value:.6g} (trial {best.number})"
