"""MLflow: one parent run per study, one child run per trial.

Only `MlflowClient` is used: it has no active run and no global tracking URI, so a trainable that
uses MLflow itself is not disturbed. What exists is found by tags. A child's run is terminated
last, so a child that has ended is complete.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo.records import State, StudyCard
from hpo.track import contents, sqlite
from hpo.track.base import Ending, StudyPage, Tracker, TrialPage

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

# No retries: a repeated create_run whose first answer was lost would make a second child; here
# the next `start` looks first.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}

# Without them the UI takes the experiment for one about language models, and hides the curves.
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
TRAINING_VIEW = "workflowType=machine_learning"

# MLflow's limits for one log_batch (mlflow.utils.validation).
MAX_ENTITIES = 1000
MAX_PARAMS = 100
MAX_TAGS = 100

# Any other: FAILED. Being pruned is no failure, and MLflow shows KILLED with the same red cross as
# FAILED; the tag hpo.outcome tells pruned and complete trials apart.
ENDED = {State.COMPLETE: "FINISHED", State.PRUNED: "FINISHED"}
STUDY_ENDED = {Ending.DONE: "FINISHED", Ending.STOPPED: "KILLED", Ending.FAILED: "FAILED"}

# The last step shown of a running trial. A trial that went back to an older checkpoint reports
# some steps again, and MLflow would show them twice.
STEP_TAG = "hpo.published_step"


@dataclass
class _Child:
    run_id: str
    step: int = 0
    ended: bool = False
    outcome: bool = False  # whether its tags are there already
    params: set[str] = field(default_factory=set)  # those logged: MLflow refuses another value


class MlflowTracker(Tracker):
    """A study in an MLflow store.

    What MLflow may do in this process is set in its environment (`ENVIRONMENT`), where the user
    has not: no telemetry, no links on the terminal, and a dead server noticed within seconds.

    Args:
        uri: any MLflow tracking URI. A SQLite file is created where there is none.
        experiment: its name; created if missing, restored if it was deleted.
        artifacts: where a new experiment keeps its artifacts; by default where the store likes.
    """

    def __init__(self, uri: str, experiment: str, artifacts: Path | None = None) -> None:
        self._uri = uri
        self._database = sqlite.path_of(uri)
        self._experiment_name = experiment
        self._artifacts = artifacts
        self._url: str | None = None

    def start(self, card: StudyCard) -> frozenset[int]:
        self._card = card
        self._children: dict[int, _Child] = {}
        # Whether a run may come up that was asked for and not heard of again.
        self._unsure = False
        self._curve_step = -1
        self._best_tags: set[str] = set()
        self._sent: dict[Path, tuple[int, int]] = {}
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        with _quiet():
            self._client = self._connect()
            self._experiment = self._find_experiment()
            self._parent = self._find_parent()
            self._url = self._address()
            if card.stage == "search":
                self._client.log_text(self._parent, card.file_text, "study.yaml")
                self._client.log_text(self._parent, json.dumps(card.space, indent=2), "space.json")
            self._find_children()
        return frozenset(number for number, child in self._children.items() if child.ended)

    def present(self) -> bool:
        from mlflow.exceptions import MlflowException

        if self._database and sqlite.is_replaced(self._database):
            return False
        with _quiet():
            try:
                parent = self._client.get_run(self._parent)
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    return False
                raise
        return bool(parent.info.lifecycle_stage == "active")

    def open(self, page: TrialPage) -> None:
        if page.trial.number in self._children:
            return
        unsure, self._unsure = self._unsure, True  # should the answer be lost
        with _quiet():
            self._children[page.trial.number] = self._create_child(page)
        self._unsure = unsure

    def publish(self, page: TrialPage) -> None:
        self.open(page)
        trial = page.trial
        final = contents.is_final(trial)
        child = self._children[trial.number]
        if child.ended:
            return
        with _quiet():
            outcome = contents.outcome_tags(trial) if final and not child.outcome else {}
            points = contents.trial_points(page, self._card.objectives, child.step)
            params = contents.trial_params(page)
            new = {name: value for name, value in params.items() if name not in child.params}
            step = page.reports[-1].step if page.reports else 0
            tags = outcome if final else {STEP_TAG: str(step)} if step > child.step else {}
            self._log(child.run_id, points, new, tags)
            child.params.update(new)
            child.step = max(child.step, step)
            if final:
                if page.traceback:
                    self._client.log_text(child.run_id, page.traceback, "traceback.txt")
                status = ENDED.get(trial.state, "FAILED")
                ended = _milliseconds(contents.ended(trial))
                self._client.set_terminated(child.run_id, status, ended)
                child.ended = True

    def study_page(self, page: StudyPage) -> None:
        points = contents.curve_points(page)
        tags = contents.progress_tags(page, self._card.objectives)
        with _quiet():
            new = [point for point in points if point.step > self._curve_step]
            self._log(self._parent, new + contents.spent_points(page), {}, tags)
            # A new best may come from another branch of the space, with other parameters.
            for name in self._best_tags - tags.keys():
                self._client.delete_tag(self._parent, name)
            self._best_tags = {name for name in tags if name.startswith(contents.BEST)}
            self._curve_step = max((point.step for point in new), default=self._curve_step)
            for path in contents.files(page.artifacts):
                status = path.stat()
                version = (status.st_mtime_ns, status.st_size)
                if self._sent.get(path) != version:
                    self._client.log_artifact(self._parent, str(path))
                    self._sent[path] = version

    def finish(self, ending: Ending) -> None:
        with _quiet():
            if self._unsure:
                self._remove_doubles()
            if self._card.stage == "search":
                # Never before its start, though a clock set back meanwhile may say so.
                now = max(_milliseconds(time.time()), self._parent_started)
                self._client.set_terminated(self._parent, STUDY_ENDED[ending], now)

    def url(self) -> str | None:
        return self._url

    def _connect(self) -> MlflowClient:
        from mlflow import MlflowClient

        if self._database is not None:
            sqlite.open_store(self._uri, self._database, self._artifacts)
        return MlflowClient(self._uri, registry_uri=self._uri)

    def _find_experiment(self) -> str:
        found = self._client.get_experiment_by_name(self._experiment_name)
        if found is None:
            location = self._artifacts.absolute().as_uri() if self._artifacts else None
            name = self._experiment_name
            return str(self._client.create_experiment(name, location, EXPERIMENT_TAGS))
        if found.lifecycle_stage != "active":
            self._client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def _find_parent(self) -> str:
        found = self._search("hpo.study_id", self._card.id)
        if self._card.stage == "final":
            if not found:
                raise LookupError("the study's own run is not there yet")
            self._unsure = True  # who publishes the search knows whether anyone was cut off
            return str(found[0].info.run_id)
        if len(found) > 1:  # one was asked for, not heard of again, and came up late
            found.sort(key=lambda run: -len(self._search("mlflow.parentRunId", run.info.run_id)))
            for empty in found[1:]:
                self._client.delete_run(empty.info.run_id)
        if found:
            run = found[0]
            self._best_tags = {name for name in run.data.tags if name.startswith(contents.BEST)}
            if run.info.status != "RUNNING":
                self._client.update_run(run.info.run_id, "RUNNING")
            else:
                self._unsure = True  # whoever published before was cut off
        else:
            run = self._client.create_run(self._experiment, tags=contents.study_tags(self._card))
        self._parent_started = int(run.info.start_time)
        return str(run.info.run_id)

    def _find_children(self) -> None:
        # Of two of one trial, one that has ended is whole.
        for run in sorted(self._runs(), key=lambda run: run.info.status == "RUNNING"):
            run_id, tags = str(run.info.run_id), run.data.tags
            number = int(tags["hpo.trial"])
            if number in self._children:
                self._client.delete_run(run_id)
                continue
            ended = run.info.status != "RUNNING"
            step = int(tags.get(STEP_TAG, 0))
            self._children[number] = _Child(run_id, step, ended, params=set(run.data.params))

    def _remove_doubles(self) -> None:
        """Removes runs that were asked for before `start` looked and came up after it."""
        for run in self._runs():
            child = self._children.get(int(run.data.tags["hpo.trial"]))
            if child is not None and child.run_id != run.info.run_id:
                self._client.delete_run(run.info.run_id)

    def _runs(self) -> list[Run]:
        """The runs of this stage's trials, oldest first; others may have put theirs beside them."""
        found = self._search("mlflow.parentRunId", self._parent)
        return [run for run in found if run.data.tags.get(contents.STAGE) == self._card.stage]

    def _search(self, tag: str, value: str) -> list[Run]:
        """The runs whose `tag` is `value`, oldest first."""
        found: list[Run] = []
        token = None
        while True:
            runs = self._client.search_runs(
                [self._experiment],
                f"tags.`{tag}` = '{value}'",
                max_results=1000,
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
            found += runs
            token = runs.token
            if not token:
                return found

    def _create_child(self, page: TrialPage) -> _Child:
        # A trial first seen at its end gets its outcome here and saves a call later.
        final = contents.is_final(page.trial)
        outcome = contents.outcome_tags(page.trial) if final else {}
        run = self._client.create_run(
            self._experiment,
            start_time=_milliseconds(page.trial.started),
            tags={
                "mlflow.parentRunId": self._parent,
                **contents.trial_tags(self._card, page),
                **outcome,
            },
        )
        return _Child(str(run.info.run_id), outcome=final)

    def _log(
        self,
        run_id: str,
        points: Sequence[contents.Point],
        params: Mapping[str, str],
        tags: Mapping[str, str],
    ) -> None:
        """Logs everything in as few calls as MLflow allows; the tags last.

        MLflow writes params, metrics and tags one after another, not at once: a step is marked as
        published only when its metrics are there.
        """
        from mlflow.entities import Metric, Param, RunTag

        metrics = [Metric(p.name, p.value, _milliseconds(p.time), p.step) for p in points]
        to_set = [Param(name, value) for name, value in params.items()]
        labels = [RunTag(name, value) for name, value in tags.items()]
        while len(to_set) > MAX_PARAMS or len(metrics) + len(to_set) + len(labels) > MAX_ENTITIES:
            now, to_set = to_set[:MAX_PARAMS], to_set[MAX_PARAMS:]
            room = MAX_ENTITIES - len(now)
            self._client.log_batch(run_id, metrics[:room], now)
            metrics = metrics[room:]
        while len(labels) > MAX_TAGS:
            self._client.log_batch(run_id, metrics, to_set, labels[:MAX_TAGS])
            metrics, to_set, labels = [], [], labels[MAX_TAGS:]
        if metrics or to_set or labels:
            self._client.log_batch(run_id, metrics, to_set, labels)

    def _address(self) -> str | None:
        if not self._uri.startswith(("http://", "https://")):
            return None
        root = self._uri.rstrip("/")
        return f"{root}/#/experiments/{self._experiment}/runs/{self._parent}?{TRAINING_VIEW}"


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps MLflow's and its libraries' log lines off the terminal, in this thread alone.

    What goes wrong is raised as well, so nothing is lost by it.
    """
    from mlflow.utils import logging_utils

    retries = logging.getLogger("urllib3.connectionpool")
    if not any(isinstance(each, logging_utils.SuppressLogFilter) for each in retries.filters):
        retries.addFilter(logging_utils.SuppressLogFilter())
    in_this_thread: Any = logging_utils.should_suppress_logs_in_thread
    before = in_this_thread.get()
    in_this_thread.set(True)
    try:
        yield
    finally:
        in_this_thread.set(before)
