"""A study's views in MLflow's UI: columns, order, filter and charts that are set beforehand.

A saved view is a tag of the experiment, which the menu "Views" lists and a link can name. Its
state is what the UI itself writes there (mlflow/server/js/src/experiment-tracking/components/
experiment-page/models/ExperimentPageUIState.tsx).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpo.records import Json, StudyCard
from hpo.track import contents

VIEW_TAG = "mlflow.sharedViewState."
OURS = "hpo-"  # keys of our views start with this
MAX_PARAMS = 10  # a table with a column for every one of fifty parameters shows none of them
RUN_NAME_PIXELS = 240


@dataclass(frozen=True)
class View:
    """One way to look at runs.

    Args:
        key: what a link calls it.
        name: what the menu calls it.
        state: of the page, in the UI's own terms.
    """

    key: str
    name: str
    state: Mapping[str, Any]

    @property
    def tag(self) -> str:
        return VIEW_TAG + self.key

    def text(self, made: int) -> str:
        """The tag's value; `made` is Unix time in milliseconds."""
        state = json.dumps(self.state, separators=(",", ":"))
        return json.dumps({"name": self.name, "createdAt": made, "updatedAt": made, "state": state})


def view(card: StudyCard, parent: str) -> View:
    """The trials of a study's stage: the best complete ones first, then the others, newest first.

    Charts are of the ten that stand first. Runs of the final stage are grouped by candidate, with
    their means.

    Args:
        parent: the study's run.
    """
    metrics = [contents.key(objective.metric) for objective in card.objectives]
    columns = [
        _id("tags", contents.OUTCOME),
        _id("tags", contents.STEPS),
        *(_id("metrics", metric) for metric in metrics),
        _id("metrics", contents.SECONDS),
        *(_id("params", name) for name in searched(card.space)[:MAX_PARAMS]),
        _id("tags", contents.REASON),
    ]
    final = card.stage == "final"
    ranked = metrics[0] if final else contents.VALUE
    state = {
        "searchFilter": f"tags.`mlflow.parentRunId` = '{parent}'"
        f" and tags.`{contents.STAGE}` = '{card.stage}'",
        "orderByKey": _id("metrics", ranked),
        "orderByAsc": card.objectives[0].direction == "minimize",
        "selectedColumns": [*columns, _id("attributes", "Dataset")],
        "columnOrder": ["attributes.`Run Name`", *columns],
        "columnWidths": {"attributes.`Run Name`": RUN_NAME_PIXELS} | _widths(columns),
        "runsHiddenMode": "FIRST_10_RUNS",
        "groupBy": _grouped(contents.CANDIDATE) if final else None,
        **_charts(metrics),
    }
    what = "final stage" if final else "trials, best first"
    return View(key(parent, card.stage), f"{card.name}: {what}", state)


def key(parent: str, stage: str) -> str:
    """What links call the view of a stage's trials."""
    return f"{OURS}{parent}-{stage}"


def stale(tags: Iterable[str], parents: Collection[str]) -> list[str]:
    """The tags of our views whose study is no longer among `parents`."""
    ours = [tag for tag in tags if tag.startswith(VIEW_TAG + OURS)]
    return [
        tag for tag in ours if tag.removeprefix(VIEW_TAG + OURS).rpartition("-")[0] not in parents
    ]


def searched(space: Json) -> list[str]:
    """The params that may differ between trials, by dotted path, in the order of the space.

    First those that every trial has, then those of a branch that only some take.

    >>> searched({"a": {"choices": [{"kind": "x", "b": {"low": 0, "high": 1}}, {"kind": "y"}]},
    ... "c": {"choices": [1, 2]}, "d": 3})
    ['a.kind', 'c', 'a.b']
    """
    found = sorted(_searched(space, "", False), key=lambda each: each[1])
    return list(dict.fromkeys(contents.key(path) for path, _ in found))


def _searched(node: Json, path: str, in_branch: bool) -> Iterator[tuple[str, bool]]:
    if isinstance(node, list) and any(isinstance(item, Mapping) for item in node):
        node = {str(index): item for index, item in enumerate(node)}
    if not isinstance(node, Mapping):
        return
    if {"low", "high"} <= node.keys():
        yield path, in_branch
    elif "choices" in node:
        branches = [choice for choice in node["choices"] if isinstance(choice, Mapping)]
        if not branches:
            yield path, in_branch
        elif len({branch.get("kind") for branch in branches}) > 1:
            yield f"{path}.kind", in_branch
        for branch in branches:
            yield from _searched(branch, path, in_branch=True)
    else:
        for name, child in node.items():
            yield from _searched(child, f"{path}.{name}" if path else str(name), in_branch)


def _id(kind: str, name: str) -> str:
    """What the UI calls a column."""
    return f"{kind}.`{name}`"


def _widths(columns: Sequence[str]) -> dict[str, int]:
    """Pixels that show a column's title whole, within reason."""
    titles = {column: column.partition(".")[2].strip("`") for column in columns}
    return {column: min(max(100, 40 + 6 * len(title)), 180) for column, title in titles.items()}


def _grouped(tag: str) -> dict[str, Any]:
    return {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": tag}]}


def _charts(metrics: Sequence[str]) -> dict[str, Any]:
    """The objectives by step come first; charts of other metrics the UI adds behind them.

    Of what is one number a trial there is no curve: those charts count as deleted.
    """
    section = {"uuid": f"{OURS}metrics", "name": "Model metrics", "display": True}
    line = {"type": "LINE", "metricSectionId": section["uuid"], "runsCountToCompare": 10}
    curves = [
        line | {"uuid": OURS + name, "metricKey": name, "selectedMetricKeys": [name]}
        for name in (*metrics, *contents.ONE_A_TRIAL)
    ]
    return {
        "compareRunCharts": [
            curve
            | {
                "isGenerated": False,
                "deleted": curve["metricKey"] in contents.ONE_A_TRIAL,
                "xAxisKey": "step",
                "xAxisScaleType": "linear",
                "scaleType": "linear",
                "lineSmoothness": 0,
                "selectedXAxisMetricKey": "",
                "useGlobalXaxisKey": True,
                "useGlobalLineSmoothing": True,
            }
            for curve in curves
        ],
        "compareRunSections": [section | {"isReordered": True, "deleted": False, "columns": 2}],
        "isAccordionReordered": True,
    }
