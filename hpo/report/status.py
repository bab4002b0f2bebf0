"""Lines and tables for the terminal: how far a study is, and what it came to."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from hpo.records import Objectives, State, TrialRecord
from hpo.report import spending
from hpo.report.final import lines
from hpo.report.tables import columns
from hpo.report.words import count, digits, duration, metrics_line, params_line, values_line, yaml

MAX_ROWS = 20


def result(result: Any) -> Iterator[RenderableType]:
    """The end of a run: what happened, the best trials, what was spent, where to look."""
    if result.done:
        yield Text(f"study {result.name} is complete: {_outcomes(result)}", style="bold")
    yield from _findings(result)
    yield Text(f"files: {os.path.relpath(result.folder)}")
    if result.url:
        yield Text(f"look at it: {result.url}")
    if result.front:
        yield Text(f"use it: hpo best {result.name}")
    if result.trouble:
        yield Text(
            f"the tracker is behind ({result.trouble}); hpo sync {result.name} publishes the rest",
            style="yellow",
        )


def status(result: Any) -> Iterator[RenderableType]:
    """How far a study is, from its record."""
    yield Text(f"study {result.name}: {_state(result)}; {_outcomes(result)}", style="bold")
    yield from _findings(result)
    failures = Counter(t.reason for t in result.trials if t.state is State.FAILED)
    for reason, times in failures.most_common(3):
        yield Text(f"failed {times}x: {reason}", style="yellow")
    yield Text(f"files: {os.path.relpath(result.folder)}")


def studies(results: Sequence[Any]) -> Table:
    """One row a study; a name and an error for one that cannot be read."""
    table = columns("study", "state", "finished", "best", "trial")
    for found in results:
        if isinstance(found, tuple):
            name, error = found
            table.add_row(name, "unreadable", "", escape(error.message), "")
            continue
        finished = sum(t.state is not State.RUNNING for t in found.trials)
        if found.best is not None:
            best, trial = values_line(found.best, found.objectives), str(found.best.number)
        else:
            best = f"{count(len(found.front), 'trial')} in the Pareto set" if found.front else ""
            trial = ""
        table.add_row(
            found.name,
            _state(found),
            str(finished) if found.total is None else f"{finished}/{found.total}",
            escape(best),
            trial,
        )
    return table


def _findings(result: Any) -> Iterator[RenderableType]:
    if result.ended_by:
        yield Text(f"it ended by {result.ended_by}")
    tests = {kept.trial: kept.test for kept in result.kept.best} if result.kept else {}
    final = result.kept.final if result.kept else None
    if result.runs and not result.done:
        ended = sum(run.state is not State.RUNNING for run in result.runs)
        yield Text(f"the final stage is under way: {count(ended, 'run')} done")
    if final is not None:
        yield from map(Text, lines(final, result.objectives[0]))
        yield Text(yaml(final.winner.config).rstrip(), style="cyan")
    elif result.best is not None:
        yield from _best(result.best, result.objectives, tests.get(result.best.number, {}))
    elif result.front:
        yield from _front(result.front, result.objectives, tests)
    else:
        yield Text("no trial is complete yet")
    if result.spent.worker_seconds:
        table = columns("spent on", "time", "share")
        for row in spending.rows(result.spent):
            table.add_row(*row)
        yield table


def _best(
    best: TrialRecord, objectives: Objectives, test: Mapping[str, float]
) -> Iterator[RenderableType]:
    yield Text(f"best trial {best.number}: {values_line(best, objectives)}")
    if test:
        yield Text(f"on the test set: {metrics_line(test)}")
    yield Text(yaml(best.config).rstrip(), style="cyan")


def _front(
    front: Sequence[TrialRecord],
    objectives: Objectives,
    tests: Mapping[int, Mapping[str, float]],
) -> Iterator[RenderableType]:
    """The Pareto set by its first objective, at most twenty rows."""
    tested = any(tests.values())
    metrics = [escape(objective.metric) for objective in objectives]
    title = f"Pareto set: {count(len(front), 'trial')}"
    head = ["trial", *metrics, *(["on the test set"] if tested else []), "parameters"]
    table = columns(*head, title=title)
    ranked = sorted(front, key=lambda t: (objectives[0].rank(t.values[0]), t.number))
    for trial in ranked[:MAX_ROWS]:
        cells = [str(trial.number), *map(digits, trial.values)]
        cells += [metrics_line(tests.get(trial.number, {}))] if tested else []
        table.add_row(*map(escape, cells), escape(params_line(trial.params)))
    yield table
    if len(front) > MAX_ROWS:
        yield Text(f"and {len(front) - MAX_ROWS} more")


def _outcomes(result: Any) -> str:
    trials: Sequence[TrialRecord] = result.trials
    if not trials:
        return "no trials"
    counts = Counter(trial.state for trial in trials)
    words = {state: state.value.replace("_", " ") for state in State}
    if not result.running:
        words[State.RUNNING] = "unfinished"
    shown = ", ".join(f"{counts[state]} {word}" for state, word in words.items() if counts[state])
    text = f"{count(len(trials), 'trial')} ({shown}) over {duration(result.spent.wall_seconds)}"
    if copies := sum(trial.same_as is not None for trial in trials):
        text += f"; {copies} answered from the record, their config had run before"
    if again := sum(trial.draws - 1 for trial in trials):
        text += f"; {count(again, 'draw')} that the config model rejected"
    return text


def _state(result: Any) -> str:
    return "complete" if result.done else "running" if result.running else "stopped"
