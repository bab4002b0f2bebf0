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

from hpo.errors import HpoError
from hpo.records import Objectives, State, TrialRecord
from hpo.report import spending
from hpo.report.final import lines
from hpo.report.live import counts, left, pace
from hpo.report.tables import columns
from hpo.report.words import count, digits, duration, metrics_line, params_line, values_line, yaml
from hpo.snapshot import Snapshot
from hpo.standing import Standing, StudyState

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


def status(result: Any, standing: Standing | None = None) -> Iterator[RenderableType]:
    """How far a study is, from its record, and, if it was submitted, from how it stands."""
    yield Text(
        f"study {result.name}: {_state(result, standing)}; {_outcomes(result)}", style="bold"
    )
    if standing is not None and standing.why:
        yield Text(standing.why, style="yellow" if standing.state is StudyState.FAILED else "")
    if standing is not None and standing.snapshot is not None:
        yield from _at_work(standing.snapshot)
    yield from _findings(result)
    failures = Counter(t.reason for t in result.trials if t.state is State.FAILED)
    for reason, times in failures.most_common(3):
        yield Text(f"failed {times}x: {reason}", style="yellow")
    yield Text(f"files: {os.path.relpath(result.folder)}")
    if result.url:
        yield Text(f"look at it: {result.url}")
    if standing is not None and standing.page:
        yield Text(f"look at it: {standing.page}")


def studies(found: Sequence[tuple[str, Any, Standing | None]]) -> Table:
    """One row a study.

    Args:
        found: the name, what there is of it or the error for one that cannot be read, and how it
            stands on the service, if it was submitted.
    """
    table = columns("study", "state", "trials", "best", "trial", "time left")
    for name, result, standing in found:
        if isinstance(result, HpoError):
            table.add_row(name, "unreadable", "", escape(result.message), "", "")
            continue
        finished = sum(t.state is not State.RUNNING for t in result.trials)
        winner = result.kept.final.winner if result.kept and result.kept.final else None
        if winner is not None:
            mean = winner.repeated(winner.values)
            best, trial = f"{result.objectives[0].metric} {mean}", str(winner.trial)
        elif result.best is not None:
            best, trial = values_line(result.best, result.objectives), str(result.best.number)
        else:
            best = f"{count(len(result.front), 'trial')} in the Pareto set" if result.front else ""
            trial = ""
        table.add_row(
            name,
            _list_state(result, standing),
            str(finished) if result.total is None else f"{finished}/{result.total}",
            escape(best),
            trial,
            _left(standing),
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


def _state(result: Any, standing: Standing | None) -> StudyState:
    if standing is not None:
        return standing.state
    if result.done:
        return StudyState.FINISHED
    return StudyState.RUNNING if result.running else StudyState.STOPPED


def _left(standing: Standing | None) -> str:
    seen = None if standing is None else standing.snapshot
    return "" if seen is None else left(seen.progress, seen.taken - seen.progress.started)


def _list_state(result: Any, standing: Standing | None) -> str:
    if standing is not None and standing.state is StudyState.QUEUED:
        return f"{standing.state}, {standing.why}"
    return _state(result, standing)


def _at_work(seen: Snapshot) -> Iterator[RenderableType]:
    """How far a running study was when its runner last looked."""
    progress = seen.progress
    where = "" if progress.stage == "search" else "final stage: "
    yield Text(f"{where}{counts(progress)}; {pace(progress, seen.taken - progress.started)}")
    used = f"{count(progress.workers, 'worker')} on {count(progress.nodes, 'node')}"
    yield Text(used + (f", {progress.gpus:g} GPUs" if progress.gpus else ""))
    if seen.trouble:
        yield Text(f"the tracker is behind: {seen.trouble}", style="yellow")
