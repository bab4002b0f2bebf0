"""MLflow: one parent run per study, one child run per trial.

Only `MlflowClient` is used: it has no active run and no global tracking URI, so a trainable that
uses MLflow itself is not disturbed. What exists is found by tags. A child's run is terminated
last, so a child that has ended is complete.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hpo.bundle import read_manifest
from hpo.records import State, StudyCard
from hpo.track import addresses, batches, contents, sqlite, views
from hpo.track.addresses import Addresses
from hpo.track.base import Ending, StudyPage, Tracker, TrialPage
from hpo.track.guide import guide
from hpo.track.login import Login, logged_in
from hpo.track.silence import NO_TELEMETRY

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

# No retries: a repeated create_run whose first answer was lost would make a second child; here
# the next `start` looks first.
ENVIRONMENT = {
    **NO_TELEMETRY,
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}

# Without them the UI takes the experiment for one about language models, and hides the curves.
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}

# Any other: FAILED. Being pruned is no failure, and MLflow shows KILLED with the same red cross as
# FAILED; the run's name and the tag hpo.outcome tell pruned and complete trials apart.
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
    data: bool = False  # whether its inputs are
    params: set[str] = field(default_factory=set)  # those logged: MLflow refuses another value


class MlflowTracker(Tracker):
    """A study in an MLflow store.

    What MLflow may do in this process is set in its environment (`ENVIRONMENT`), where the user
    has not: no telemetry, no links on the terminal, and a dead server noticed within seconds.

    Args:
        uri: any MLflow tracking URI. A SQLite file is created where there is none.
        experiment: its name; created if missing, restored if it was deleted.
        artifacts: where a new experiment keeps its artifacts; by default where the store likes.
        login: who asks; by default whoever the environment names.
    """

    def __init__(
        self,
        uri: str,
        experiment: str,
        artifacts: Path | None = None,
        login: Login | None = None,
    ) -> None:
        self._uri = uri
        self._login = login
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
        self._bundle: str | None = None
        self._sent: dict[Path, tuple[int, int]] = {}
        self._prepare()
        with self._asking():
            self._client = self._connect()
            self._experiment = self._find_experiment()
            self._parent = self._find_parent()
            self._addresses = Addresses(self._experiment, self._parent)
            self._url = self._address()
            if card.stage == "search":
                self._client.log_text(self._parent, card.file_text, "study.yaml")
                self._client.log_text(self._parent, json.dumps(card.space, indent=2), "space.json")
                batches.log_data(self._client, self._parent, card.data)
            self._find_children()
            view = views.view(card, self._parent)
            self._guide((view.tag, view.text(self._parent_started)))
        return frozenset(number for number, child in self._children.items() if child.ended)

    def present(self) -> bool:
        from mlflow.exceptions import MlflowException

        if self._database and sqlite.is_replaced(self._database):
            return False
        with self._asking():
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
        with self._asking():
            self._children[page.trial.number] = self._create_child(page)
        self._unsure = unsure

    def publish(self, page: TrialPage) -> None:
        self.open(page)
        trial = page.trial
        final = contents.is_final(trial)
        child = self._children[trial.number]
        if child.ended:
            return
        with self._asking():
            outcome = (
                contents.outcome_tags(self._card, trial) if final and not child.outcome else {}
            )
            points = contents.trial_points(page, self._card.objectives, child.step)
            params = contents.trial_params(page)
            new = {name: value for name, value in params.items() if name not in child.params}
            step = page.reports[-1].step if page.reports else 0
            tags = outcome if final else {STEP_TAG: str(step)} if step > child.step else {}
            batches.log(self._client, child.run_id, points, new, tags)
            child.params.update(new)
            child.step = max(child.step, step)
            # One call more, and most trials of a study with a pruner come to nothing.
            if trial.state is State.COMPLETE and not child.data:
                batches.log_data(self._client, child.run_id, self._card.data)
                child.data = True
            if final:
                if page.traceback:
                    self._client.log_text(child.run_id, page.traceback, "traceback.txt")
                status = ENDED.get(trial.state, "FAILED")
                ended = batches.milliseconds(contents.ended(trial))
                self._client.set_terminated(child.run_id, status, ended)
                child.ended = True

    def study_page(self, page: StudyPage) -> None:
        points = contents.curve_points(page)
        links = addresses.links(self._addresses, page)
        tags = contents.progress_tags(page, self._card.objectives, links)
        with self._asking():
            new = [point for point in points if point.step > self._curve_step]
            batches.log(self._client, self._parent, new + contents.spent_points(page), {}, tags)
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
            if page.bundle is not None:
                self._send_bundle(page.bundle)

    def finish(self, ending: Ending) -> None:
        with self._asking():
            if self._unsure:
                self._remove_doubles()
            if self._card.stage == "search":
                # Never before its start, though a clock set back meanwhile may say so.
                now = max(batches.milliseconds(time.time()), self._parent_started)
                self._client.set_terminated(self._parent, STUDY_ENDED[ending], now)

    def forget(self, study_id: str) -> int:
        self._prepare()
        if self._database is not None and not self._database.exists():
            return 0
        with self._asking():
            self._client = self._connect()
            found = self._client.get_experiment_by_name(self._experiment_name)
            if found is None:
                return 0
            self._experiment = str(found.experiment_id)
            runs = []
            for parent in self._search(f"tags.`{contents.STUDY_ID}` = '{study_id}'"):
                # The parent last: by it the others are found, should this be cut short.
                runs += [*self._search(_children_of(parent.info.run_id)), parent]
            for run in runs:
                self._client.delete_run(run.info.run_id)
            self._guide()
        return len(runs)

    def url(self) -> str | None:
        return self._url

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """For calls of MLflow's client."""
        with logged_in(self._login), batches.quiet():
            yield

    def _prepare(self) -> None:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)

    def _send_bundle(self, bundle: Path) -> None:
        identity = read_manifest(bundle).identity
        if identity == self._bundle:
            return
        self._client.log_artifacts(self._parent, str(bundle), contents.bundle_path(bundle))
        self._client.set_tag(self._parent, contents.BUNDLE_TAG, identity)
        self._bundle = identity

    def _connect(self) -> MlflowClient:
        from mlflow import MlflowClient

        if self._database is not None:
            sqlite.open_store(self._uri, self._database, self._artifacts)
        return MlflowClient(self._uri, registry_uri=self._uri)

    def _find_experiment(self) -> str:
        found = self._client.get_experiment_by_name(self._experiment_name)
        if found is None and self._card.stage == "final":
            raise LookupError("the study's own run is not there yet")
        if found is None:
            location = self._artifacts.absolute().as_uri() if self._artifacts else None
            name = self._experiment_name
            return str(self._client.create_experiment(name, location, EXPERIMENT_TAGS))
        if found.lifecycle_stage != "active":
            self._client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def _find_parent(self) -> str:
        found = self._search(f"tags.`{contents.STUDY_ID}` = '{self._card.id}'")
        if self._card.stage == "final":
            if not found:
                raise LookupError("the study's own run is not there yet")
            self._unsure = True  # who publishes the search knows whether anyone was cut off
            self._parent_started = int(found[0].info.start_time)
            return str(found[0].info.run_id)
        if len(found) > 1:  # one was asked for, not heard of again, and came up late
            found.sort(key=lambda run: -len(self._search(_children_of(run.info.run_id))))
            for empty in found[1:]:
                self._client.delete_run(empty.info.run_id)
        if found:
            run = found[0]
            self._best_tags = {name for name in run.data.tags if name.startswith(contents.BEST)}
            self._bundle = run.data.tags.get(contents.BUNDLE_TAG)
            if run.info.status != "RUNNING":
                self._client.update_run(run.info.run_id, "RUNNING")
            else:
                self._unsure = True  # whoever published before was cut off
        else:
            run = self._client.create_run(self._experiment, tags=contents.study_tags(self._card))
        self._parent_started = int(run.info.start_time)
        return str(run.info.run_id)

    def _find_children(self) -> None:
        found = self._search(_children_of(self._parent, self._card.stage))
        # Of two of one trial, one that has ended is whole.
        for run in sorted(found, key=lambda run: run.info.status == "RUNNING"):
            run_id, tags = str(run.info.run_id), run.data.tags
            if "hpo.trial" not in tags:  # somebody else's
                continue
            number = int(tags["hpo.trial"])
            if number in self._children:
                self._client.delete_run(run_id)
                continue
            ended = run.info.status != "RUNNING"
            self._children[number] = _Child(
                run_id,
                step=int(tags.get(STEP_TAG, 0)),
                ended=ended,
                data=bool(run.inputs and run.inputs.dataset_inputs),
                params=set(run.data.params),
            )

    def _remove_doubles(self) -> None:
        """Removes runs that were asked for before `start` looked and came up after it."""
        for run in self._search(_children_of(self._parent, self._card.stage)):
            number = run.data.tags.get("hpo.trial")
            child = None if number is None else self._children.get(int(number))
            if child is not None and child.run_id != run.info.run_id:
                self._client.delete_run(run.info.run_id)

    def _search(self, which: str) -> list[Run]:
        """The runs that MLflow's filter `which` lets through, oldest first."""
        found: list[Run] = []
        token = None
        while True:
            runs = self._client.search_runs(
                [self._experiment],
                which,
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
        outcome = contents.outcome_tags(self._card, page.trial) if final else {}
        run = self._client.create_run(
            self._experiment,
            start_time=batches.milliseconds(page.trial.started),
            tags={
                "mlflow.parentRunId": self._parent,
                **contents.trial_tags(self._card, page),
                **outcome,
            },
        )
        return _Child(str(run.info.run_id), outcome=final)

    def _guide(self, view: tuple[str, str] | None = None) -> None:
        # In this order, see `guide`.
        tags: dict[str, str] = self._client.get_experiment(self._experiment).tags
        studies = [
            (run.data.tags[contents.STUDY], str(run.info.run_id))
            for run in reversed(self._search(f"tags.`{contents.STUDY_ID}` != ''"))
        ]
        guide(self._client, tags, self._experiment, studies, view)

    def _address(self) -> str | None:
        if not self._uri.startswith(("http://", "https://")):
            return None
        return f"{self._uri.rstrip('/')}/{self._addresses.table(self._card.stage)}"


def _children_of(parent: str, stage: str | None = None) -> str:
    """MLflow's filter for a study's trials: of all stages, or of one."""
    which = f"tags.`mlflow.parentRunId` = '{parent}'"
    return f"{which} and tags.`{contents.STAGE}` = '{stage}'" if stage else which
