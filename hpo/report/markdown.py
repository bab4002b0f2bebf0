"""A study's summary in words: what people read first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hpo.records import Json, Objective, Objectives, TrialRecord
from hpo.report import spending
from hpo.report.audit import Audit
from hpo.report.final import lines
from hpo.report.kept import KeptFinal
from hpo.report.summary import Summary
from hpo.report.words import count, digits, duration, yaml
from hpo.space import Range

EDGE = 0.01  # of a range, from either end
MAX_ROWS = 20


def markdown(
    summary: Summary,
    *,
    name: str = "",
    total: int | None = None,
    ranges: Mapping[str, Range] | None = None,
    tests: Mapping[int, Mapping[str, float]] | None = None,
    final: KeptFinal | None = None,
    runs: tuple[int, int | None] | None = None,
    audit: Audit | None = None,
    over: bool = False,
    ended_by: str = "",
) -> str:
    """The summary in Markdown, the same text for the same summary.

    Args:
        name: of the study, for the commands that use it.
        total: trials the study will have; `None` if it has no fixed number.
        ranges: the searched numbers, by dotted path. A best value within 1 % of an end is pointed
            out: the optimum may lie beyond it.
        tests: test metrics of the best trials by number, if they were computed.
        final: what the final stage found, if it is over.
        runs: of the final stage, while it is under way: how many have ended, of how many.
        audit: of the pruner, if there is one.
        over: whether the study is complete, or `ended_by` says so.
        ended_by: why the study ended before its number of trials.
    """
    over = over or bool(ended_by)
    parts = [_progress(summary, total, over)]
    if ended_by:
        parts.append(f"It ended by {ended_by}.")
    if runs is not None:
        parts.append(f"**Final stage**: {runs[0]} of {runs[1]} runs.")
    if final is not None:
        parts += _winner(final, summary.objectives[0])
    if not summary.best:
        parts.append("No trial is complete yet.")
    elif len(summary.objectives) == 1:
        test = (tests or {}).get(summary.best[0].number, {})
        parts += _best(summary, ranges or {}, test, won=final is None)
    else:
        parts += _front(summary, tests or {})
    if summary.best and name:
        parts += ["## Use it", _uses(name, over)]
    if summary.spent.worker_seconds:
        parts += [
            "## Spent",
            _table([("spent on", "time", "share"), *spending.rows(summary.spent)]),
        ]
    if audit is not None:
        parts += _audit(audit)
    return "\n\n".join(parts) + "\n"


def at_edge(value: Json, within: Range) -> bool:
    """Whether a number lies within 1 % of an end of its range, on the range's own scale."""
    if isinstance(value, bool) or not isinstance(value, int | float) or within.low >= within.high:
        return False
    unit = within.to_unit(value)
    return bool(min(unit, 1 - unit) <= EDGE)


def _progress(summary: Summary, total: int | None, over: bool) -> str:
    of_total = f" of {total}" if total is not None else ""
    if not summary.counts:
        return f"**0{of_total} trials** so far."
    counts = ", ".join(f"{n} {state.replace('_', ' ')}" for state, n in summary.counts.items())
    if summary.rejected:
        counts += f"; {count(summary.rejected, 'draw')} that the config model rejected"
    seconds = summary.spent.wall_seconds
    time = f" in {duration(seconds)}" if seconds else ""
    left = "" if over else _left(summary, total)
    return f"**{summary.finished}{of_total} trials**{time}{left}: {counts}."


def _left(summary: Summary, total: int | None) -> str:
    """How long the rest takes at the pace so far, over all runs of the study."""
    seconds, finished = summary.spent.wall_seconds, summary.finished
    if not (total and seconds and finished) or finished >= total:
        return ""
    left = duration((total - finished) * seconds / finished)
    return f" ({100 * finished // total} %, about {left} left)"


def _uses(name: str, over: bool) -> str:
    rows = [("to do", "command"), ("see the best config", f"`hpo best {name}`")]
    if over:
        rows.append(("put it into production", f"`hpo promote {name}`"))
    return _table(rows)


def _winner(final: KeptFinal, objective: Objective) -> list[str]:
    return [
        f"## Winner: {final.winner.name}",
        "Found by the final stage, which ran the best candidates again over fresh seeds.",
        "\n".join(f"* {line}" for line in lines(final, objective)),
        f"```yaml\n{yaml(final.winner.config)}```",
    ]


def _best(
    summary: Summary, ranges: Mapping[str, Range], test: Mapping[str, float], won: bool
) -> list[str]:
    metric, best = summary.objectives[0].metric, summary.best[0]
    title = "Best" if won else "Best in the search"
    parts = [f"## {title}: trial {best.number}, {_code(metric)} {digits(best.value)}"]
    if test:
        parts.append(f"On the test set, looked at only after the search: {_values(test)}.")
    parts += [
        f"> {_code(name)} = {digits(best.params[name])} is at the edge of its range "
        f"({digits(within.low)} to {digits(within.high)}): the optimum may lie beyond it."
        for name, within in sorted(ranges.items())
        if at_edge(best.params.get(name), within)
    ]
    if won:  # otherwise the winner's config stands above
        parts.append(f"```yaml\n{yaml(best.config)}```")
    parts.append(f"## Top {len(summary.top)}")
    parts.append(_trials(summary.top, summary.objectives))
    return parts


def _front(summary: Summary, tests: Mapping[int, Mapping[str, float]]) -> list[str]:
    metrics = " and ".join(_code(o.metric) for o in summary.objectives)
    parts = [
        f"## Pareto set: {count(len(summary.top), 'trial')}",
        f"No other trial is at least as good in {metrics} and better in one of them.",
        _trials(summary.top[:MAX_ROWS], summary.objectives),
    ]
    if len(summary.top) > MAX_ROWS:
        parts.append(f"And {len(summary.top) - MAX_ROWS} more: `hpo best` lists them all.")
    tested = [trial.number for trial in summary.top if tests.get(trial.number)]
    if tested:
        parts.append("On the test set, looked at only after the search:")
        parts.append("\n".join(f"* trial {n}: {_values(tests[n])}" for n in tested))
    return parts


def _audit(audit: Audit) -> list[str]:
    parts = ["## Pruning", f"{count(audit.pruned, 'trial')} pruned."]
    if audit.saved is not None and audit.full:
        share = 100 * audit.saved / audit.full
        parts[-1] += (
            f" That saved {count(audit.saved, 'step')},"
            f" {share:.0f} % of the {audit.full} that all would have taken."
        )
    if audit.rungs:
        parts.append(
            f"Would each rung have cut the trials that turned out best"
            f" ({', '.join(map(str, audit.best))})? Ranked in hindsight against all trials that"
            " reached it; as it happened, a trial was compared only with those before it."
        )
        rows = [("step", "goes on", "trials there", "of the best, cut")]
        rows += [
            (str(r.step), f"{100 * r.share:.0f} %", str(r.reached), _cut(r.cut, len(audit.best)))
            for r in audit.rungs
        ]
        parts.append(_table(rows))
    return parts


def _cut(cut: Sequence[int], best: int) -> str:
    which = f" ({', '.join(map(str, cut))})" if cut else ""
    return f"{len(cut)} of {best}{which}"


def _trials(trials: Sequence[TrialRecord], objectives: Objectives) -> str:
    # In the order of the config; a branch of the space that a trial did not take stays empty.
    names = list(dict.fromkeys(name for trial in trials for name in trial.params))
    rows = [("trial", *(o.metric for o in objectives), *names)]
    for trial in trials:
        copied = "" if trial.same_as is None else f" (same as {trial.same_as})"
        params = (digits(trial.params[name]) if name in trial.params else "" for name in names)
        rows.append((f"{trial.number}{copied}", *map(digits, trial.values), *params))
    return _table(rows, numbers=1 + len(objectives))


def _table(rows: Sequence[Sequence[str]], numbers: int = 0) -> str:
    """A Markdown table, the first `numbers` columns flush right."""
    head, *body = rows
    line = ["---:"] * numbers + ["---"] * (len(head) - numbers)
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in (head, line, *body))


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


def _values(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{_code(name)} {digits(value)}" for name, value in metrics.items())


def _code(text: str) -> str:
    return f"`{text.replace('`', '')}`"
