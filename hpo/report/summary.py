"""How a study went, in figures and in words."""

from __future__ import annotations

import io
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from hpo.records import Json, Objective, State, TrialRecord, best_trial
from hpo.track import CurvePoint

TOP = 5
EDGE = 0.01  # of a range, from either end


@dataclass(frozen=True, slots=True)
class Summary:
    """A study in figures.

    Args:
        counts: how many trials are in each state; states without trials are left out.
        best: the best complete trial.
        top: the best complete trials, best first, at most five.
        curve: best so far by trial number, from the first complete trial on.
        settled: how many points of `curve` will not change. A trial still running can improve
            the points after it, never those before it.
        seconds: from the first start to the last end seen.
    """

    objective: Objective
    counts: Mapping[State, int]
    best: TrialRecord | None
    top: Sequence[TrialRecord]
    curve: Sequence[CurvePoint]
    settled: int
    seconds: float

    @property
    def finished(self) -> int:
        """Trials in a final state."""
        return sum(count for state, count in self.counts.items() if state is not State.RUNNING)


def summarize(trials: Sequence[TrialRecord], objective: Objective) -> Summary:
    """The summary of `trials`, which may stand in any order and still be running."""
    trials = sorted(trials, key=lambda trial: trial.number)
    complete = [t for t in trials if t.state is State.COMPLETE and t.value is not None]
    top = sorted(complete, key=lambda t: (objective.rank(t.value or 0.0), t.number))[:TOP]
    running = [t.number for t in trials if t.state is State.RUNNING]
    curve = best_so_far(trials, objective)
    ends = [t.started if t.finished is None else t.finished for t in trials]
    return Summary(
        objective=objective,
        counts={state: n for state in State if (n := Counter(t.state for t in trials)[state])},
        best=best_trial(list(trials), objective),
        top=top,
        curve=curve,
        settled=sum(point.number < min(running, default=point.number + 1) for point in curve),
        seconds=max(ends) - min(t.started for t in trials) if trials else 0.0,
    )


def best_so_far(trials: Sequence[TrialRecord], objective: Objective) -> list[CurvePoint]:
    """One point for each ended trial from the first complete one on; `trials` by number."""
    curve: list[CurvePoint] = []
    best: float | None = None
    for trial in trials:
        if trial.state is State.COMPLETE and trial.value is not None:
            if best is None or objective.better(trial.value, best):
                best = trial.value
        if best is not None and trial.finished is not None:
            curve.append(CurvePoint(trial.number, best, trial.finished))
    return curve


def markdown(
    summary: Summary,
    *,
    total: int | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    test: Mapping[str, float] | None = None,
) -> str:
    """The summary in Markdown, the same text for the same summary.

    Args:
        total: trials the study will have; `None` if it has no fixed number.
        ranges: low and high of the searched numbers, by dotted path. A best value within 1 % of
            an end is pointed out: the optimum may lie beyond it.
        test: test metrics of the best trial, if they were computed.
    """
    of_total = f" of {total}" if total is not None else ""
    counts = ", ".join(f"{n} {state.replace('_', ' ')}" for state, n in summary.counts.items())
    parts = [f"**{summary.finished}{of_total} trials** in {duration(summary.seconds)}: {counts}."]
    if not summary.counts:
        parts = [f"**0{of_total} trials** so far."]
    if summary.best is None:
        return "\n\n".join([*parts, "No trial is complete yet."]) + "\n"
    metric, best = summary.objective.metric, summary.best
    parts.append(f"## Best: trial {best.number}, {_code(metric)} {digits(best.value)}")
    if test:
        shown = ", ".join(f"{_code(name)} {digits(value)}" for name, value in test.items())
        parts.append(f"On the test set, looked at only after the search: {shown}.")
    parts += [
        f"> {_code(name)} = {digits(best.params[name])} is at the edge of its range "
        f"({digits(low)} to {digits(high)}): the optimum may lie beyond it."
        for name, (low, high) in sorted((ranges or {}).items())
        if at_edge(best.params.get(name), low, high)
    ]
    parts.append(f"```yaml\n{yaml(best.config)}```")
    parts.append(f"## Top {len(summary.top)}")
    parts.append(_table(summary.top, metric))
    return "\n\n".join(parts) + "\n"


def at_edge(value: Json, low: float, high: float) -> bool:
    """Whether a number lies within 1 % of an end of its range, on the range's own scale.

    A range over two decades or more is measured in logarithms: 0.001 is not the edge of 1e-5 to 1.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or low >= high:
        return False
    if low > 0 and high / low >= 100 and value > 0:
        low, value, high = math.log(low), math.log(value), math.log(high)
    return bool(min(value - low, high - value) <= EDGE * (high - low))


def yaml(config: Mapping[str, Json]) -> str:
    """A config as YAML, its innermost levels on one line as in a study file."""
    writer = YAML(typ="safe", pure=True)
    # None: a level without levels below it goes on one line; the config itself never does.
    nested = any(isinstance(value, Mapping | list) for value in config.values())
    writer.default_flow_style = None if nested else False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    writer.width = 100
    # What YAML 1.1 would misread is written for it: many parsers still take 1e-05 for text.
    writer.version = (1, 1)
    text = io.StringIO()
    writer.dump(dict(config), text)
    text = io.StringIO(text.getvalue().removeprefix("%YAML 1.1\n---\n"))
    # Some texts, such as "?x" within a list, are written so that they cannot be read.
    # JSON is YAML, too.
    if _read(text.getvalue()) == config:
        return text.getvalue()
    return json.dumps(config, indent=2, ensure_ascii=False) + "\n"


def _read(text: str) -> Json:
    try:
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError:
        return None


def params_line(params: Mapping[str, Json]) -> str:
    """Searched values for people, on one line."""
    return ", ".join(f"{name}={digits(value)}" for name, value in params.items())


def digits(value: Json) -> str:
    """A value for people: floats to four significant digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def duration(seconds: float) -> str:
    """Seconds for people.

    >>> duration(3.21), duration(75), duration(7265)
    ('3.2 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _table(trials: Sequence[TrialRecord], metric: str) -> str:
    # In the order of the config; a branch of the space that a trial did not take stays empty.
    names = list(dict.fromkeys(name for trial in trials for name in trial.params))
    rows = [["trial", metric, *names], ["---:"] * 2 + ["---"] * len(names)]
    for trial in trials:
        values = [digits(trial.params[name]) if name in trial.params else "" for name in names]
        rows.append([str(trial.number), digits(trial.value), *values])
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in rows)


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


def _code(text: str) -> str:
    return f"`{text.replace('`', '')}`"
