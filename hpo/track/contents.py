"""What a run holds for a page: params, metric points and tags, in terms every tracker shares."""

from __future__ import annotations

import json
import math
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hpo.records import Json, Objectives, State, StudyCard, TrialRecord
from hpo.track.base import StudyPage, TrialPage

# MLflow's limits (mlflow.utils.validation); a value beyond them is refused or cut with a warning.
MAX_KEY_CHARS = 250
MAX_PARAM_CHARS = 6000
MAX_TAG_CHARS = 8000

RUN_NAME = "mlflow.runName"

BEST = "hpo.best."  # tags about the best trial start with this

STUDY = "hpo.study"
STUDY_ID = "hpo.study_id"
NOTE = "mlflow.note.content"

# Of a trial, as tags; a CANDIDATE only in the final stage.
STAGE = "hpo.stage"
CANDIDATE = "hpo.candidate"
OUTCOME = "hpo.outcome"
REASON = "hpo.reason"
STEPS = "hpo.steps"

# Of a trial that has ended, as metrics, so that tables sort them as numbers. Only a complete trial
# has a VALUE, the first objective: sorted by it, a pruned one that once looked better comes later.
VALUE = "hpo.value"
SECONDS = "hpo.seconds"
ONE_A_TRIAL = (VALUE, SECONDS)


@dataclass(frozen=True, slots=True)
class Point:
    """One value of one metric; `time` is Unix time in seconds."""

    name: str
    value: float
    step: int
    time: float


def key(name: str) -> str:
    """`name`, what MLflow refuses in it replaced: one bad name would fail the whole batch."""
    clean = re.sub(r"[^/\w.\- :]", "_", name)[:MAX_KEY_CHARS]
    is_path = posixpath.normpath(clean) == clean and not clean.startswith(("/", ".."))
    return clean if is_path and clean != "." else clean.strip("/.").replace("/", "_") or "_"


def cut(text: str, limit: int) -> str:
    """`text`, its end replaced by an ellipsis where it is longer than `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def flatten(config: Mapping[str, Json]) -> dict[str, str]:
    """A config as params: dotted paths, text as it is, everything else as JSON.

    >>> flatten({"epochs": 5, "model": {"kind": "mlp", "widths": [8, 8]}})
    {'epochs': '5', 'model.kind': 'mlp', 'model.widths': '[8, 8]'}
    """
    flat: dict[str, str] = {}
    for path, value in _leaves(config, ""):
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        flat.setdefault(key(path), cut(text, MAX_PARAM_CHARS))
    return flat


def _leaves(value: Json, path: str) -> Iterator[tuple[str, Json]]:
    # A list of plain values is one param (widths); a list of objects is a level of the tree.
    if isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
        value = {str(index): item for index, item in enumerate(value)}
    if isinstance(value, Mapping) and value:
        for name, item in value.items():
            yield from _leaves(item, f"{path}.{name}" if path else str(name))
    else:
        yield path, value


def trial_params(page: TrialPage) -> dict[str, str]:
    return flatten(page.derived) | flatten(page.trial.config)


def is_final(trial: TrialRecord) -> bool:
    return trial.state is not State.RUNNING


def ended(trial: TrialRecord) -> float:
    """When a trial ended, Unix time in seconds; never before its start, though a clock set back
    meanwhile may say so."""
    return trial.started if trial.finished is None else max(trial.started, trial.finished)


def trial_points(page: TrialPage, objectives: Objectives, after_step: int = 0) -> list[Point]:
    """The metrics of a trial beyond `after_step`, and its final metrics if it has ended.

    Among the latter are all objectives. What is one number a trial stands at step 0, where the UI
    draws a bar and no curve.

    A final metric stands at the last step. Where that step has another value of the same name, as
    when a trainable returns its best epoch, it stands one step later: the newest value is the one
    that tables show, and no step has two.
    """
    trial = page.trial
    points = [
        Point(key(name), value, report.step, report.time)
        for report in page.reports
        if report.step > after_step
        for name, value in report.metrics.items()
    ]
    if is_final(trial):
        finals = dict(trial.metrics)
        finals |= {o.metric: v for o, v in zip(objectives, trial.values, strict=False)}
        last = page.reports[-1] if page.reports else None
        step = last.step if last else trial.steps
        time = ended(trial)
        reported = last.metrics if last else {}
        points += [
            Point(key(name), value, step + (name in reported), time)
            for name, value in finals.items()
            if reported.get(name) != value
        ]
        if trial.state is State.COMPLETE and trial.values:
            points.append(Point(VALUE, trial.values[0], 0, time))
        if trial.seconds:
            points.append(Point(SECONDS, trial.seconds, 0, time))
    return [point for point in points if math.isfinite(point.value)]


def trial_tags(card: StudyCard, page: TrialPage) -> dict[str, str]:
    """Tags of a trial's run from its beginning."""
    trial = page.trial
    return {
        RUN_NAME: _run_name(card, trial),
        STUDY: card.name,
        "hpo.trial": f"{trial.number:06d}",
        STAGE: card.stage,
        **{key(f"hpo.{name}"): text for name, text in page.labels.items()},
    }


def outcome_tags(card: StudyCard, trial: TrialRecord) -> dict[str, str]:
    """How a trial ended: as tags, and in the name of its run, which every list and chart shows."""
    how = str(trial.state).replace("_", " ")
    if trial.state is State.COMPLETE:
        how = ", ".join(f"{value:.4g}" for value in trial.values)
    tags = {RUN_NAME: f"{_run_name(card, trial)} {how}", OUTCOME: str(trial.state)}
    tags[STEPS] = str(trial.steps)
    if trial.reason:
        tags[REASON] = cut(trial.reason, MAX_TAG_CHARS)
    if trial.same_as is not None:
        tags["hpo.same_as"] = f"{trial.same_as:06d}"
    return tags


def _run_name(card: StudyCard, trial: TrialRecord) -> str:
    stage = "" if card.stage == "search" else f"{card.stage}-"
    return f"{card.name}-{stage}{trial.number:06d}"


def study_tags(card: StudyCard) -> dict[str, str]:
    """Tags of the study's run; `STUDY_ID` identifies it."""
    return {
        RUN_NAME: card.name,
        STUDY: card.name,
        STUDY_ID: card.id,
        "hpo.objective": ",".join(objective.metric for objective in card.objectives),
        "hpo.direction": ",".join(objective.direction for objective in card.objectives),
    }


def progress_tags(page: StudyPage, objectives: Objectives, links: str = "") -> dict[str, str]:
    """How far the study is, and its best trials: tags, since params could not follow a new best.

    Args:
        links: Markdown that goes below the description's first paragraph; the UI folds away what
            is further down.
    """
    first, _, rest = page.description.partition("\n\n")
    tags = {
        NOTE: cut("\n\n".join(filter(None, (first, links, rest))), MAX_TAG_CHARS),
        "hpo.finished": str(page.finished),
    }
    if len(objectives) > 1:
        numbers = ",".join(f"{trial.number:06d}" for trial in page.best)
        return tags | {"hpo.front": cut(numbers, MAX_TAG_CHARS)}
    for best in page.best:
        tags[f"{BEST}trial"] = f"{best.number:06d}"
        for name, value in flatten(best.params).items():
            tags[key(f"{BEST}{name}")] = value
    return tags


BUNDLE_TAG = "hpo.bundle"
"""The identity of the newest bundle, once it is there."""


def bundle_path(bundle: Path) -> str:
    """Where a bundle lies among the artifacts of the study's run."""
    return f"bundle/{bundle.name}"


def curve_points(page: StudyPage) -> list[Point]:
    return [
        Point(key(f"best_{metric}"), point.value, point.number, point.time)
        for metric, curve in page.curves.items()
        for point in curve
        if math.isfinite(point.value)
    ]


def spent_points(page: StudyPage) -> list[Point]:
    """What the study has spent, in hours, at the second of it that it is in.

    A tracker takes the point with the largest step for the latest, so the clock does not matter.
    Outcomes that there never were are left out.
    """
    spent = page.spent
    seconds = {
        "wall": spent.wall_seconds,
        "cpu": spent.cpu_seconds,
        "gpu": spent.gpu_seconds,
        "idle": spent.idle_seconds,
        **{state.value: spent.busy_seconds.get(state, 0.0) for state in State},
    }
    # Time of trials that still run goes elsewhere once they have ended: back to zero, too.
    always = ("wall", "idle", State.RUNNING.value)
    return [
        Point(f"spent_{name}_hours", spent_on / 3600, int(spent.wall_seconds), page.time)
        for name, spent_on in seconds.items()
        if spent.wall_seconds and (spent_on or name in always)
    ]


def files(folder: Path | None) -> list[Path]:
    """The files directly in `folder`, by name; none if there is no such folder."""
    if folder is None or not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_file())
