"""What a run holds for a page: params, metric points and tags, in terms every tracker shares."""

from __future__ import annotations

import json
import math
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hpo.records import Json, Objective, State, StudyCard, TrialRecord
from hpo.track.base import StudyPage, TrialPage

# MLflow's limits (mlflow.utils.validation); a value beyond them is refused or cut with a warning.
MAX_KEY_CHARS = 250
MAX_PARAM_CHARS = 6000
MAX_TAG_CHARS = 8000

BEST = "hpo.best."  # tags about the best trial start with this


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


def trial_points(page: TrialPage, objective: Objective, after_step: int = 0) -> list[Point]:
    """The metrics of a trial beyond `after_step`, and its final metrics if it has ended.

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
        if trial.value is not None:
            finals[objective.metric] = trial.value
        last = page.reports[-1] if page.reports else None
        step = last.step if last else trial.steps
        time = trial.finished if trial.finished is not None else trial.started
        reported = last.metrics if last else {}
        points += [
            Point(key(name), value, step + (name in reported), time)
            for name, value in finals.items()
            if reported.get(name) != value
        ]
    return [point for point in points if math.isfinite(point.value)]


def trial_tags(card: StudyCard, trial: TrialRecord) -> dict[str, str]:
    """Tags that identify a trial's run; they never change."""
    return {
        "mlflow.runName": f"{card.name}-{trial.number:06d}",
        "hpo.study": card.name,
        "hpo.trial": f"{trial.number:06d}",
    }


def outcome_tags(trial: TrialRecord) -> dict[str, str]:
    tags = {"hpo.outcome": str(trial.state)}
    if trial.reason:
        tags["hpo.reason"] = cut(trial.reason, MAX_TAG_CHARS)
    return tags


def study_tags(card: StudyCard) -> dict[str, str]:
    """Tags of the study's run; `hpo.study_id` identifies it."""
    return {
        "mlflow.runName": card.name,
        "hpo.study": card.name,
        "hpo.study_id": card.id,
        "hpo.objective": card.objective.metric,
        "hpo.direction": card.objective.direction,
    }


def progress_tags(page: StudyPage) -> dict[str, str]:
    """How far the study is, and its best trial: tags, since params could not follow a new best."""
    tags = {
        "mlflow.note.content": cut(page.description, MAX_TAG_CHARS),
        "hpo.finished": str(page.finished),
    }
    if page.best is not None:
        tags[f"{BEST}trial"] = f"{page.best.number:06d}"
        for name, value in flatten(page.best.params).items():
            tags[key(f"{BEST}{name}")] = value
    return tags


def curve_points(page: StudyPage, objective: Objective) -> list[Point]:
    return [
        Point(key(f"best_{objective.metric}"), point.value, point.number, point.time)
        for point in page.curve
        if math.isfinite(point.value)
    ]


def files(folder: Path | None) -> list[Path]:
    """The files directly in `folder`, by name; none if there is no such folder."""
    if folder is None or not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_file())
