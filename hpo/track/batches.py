"""Logging to a run in as few calls as MLflow allows, and in silence."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hpo.track import contents

if TYPE_CHECKING:
    from mlflow import MlflowClient

# MLflow's limits for one log_batch, and for a dataset (mlflow.utils.validation).
MAX_ENTITIES = 1000
MAX_PARAMS = 100
MAX_TAGS = 100
MAX_DATASET_NAME = 500
MAX_DIGEST = 36


def log(
    client: MlflowClient,
    run_id: str,
    points: Sequence[contents.Point],
    params: Mapping[str, str],
    tags: Mapping[str, str],
) -> None:
    """Logs everything; the tags last.

    MLflow writes params, metrics and tags one after another, not at once: a step is marked as
    published only when its metrics are there.
    """
    from mlflow.entities import Metric, Param, RunTag

    metrics = [Metric(p.name, p.value, milliseconds(p.time), p.step) for p in points]
    to_set = [Param(name, value) for name, value in params.items()]
    labels = [RunTag(name, value) for name, value in tags.items()]
    while len(to_set) > MAX_PARAMS or len(metrics) + len(to_set) + len(labels) > MAX_ENTITIES:
        now, to_set = to_set[:MAX_PARAMS], to_set[MAX_PARAMS:]
        room = MAX_ENTITIES - len(now)
        client.log_batch(run_id, metrics[:room], now)
        metrics = metrics[room:]
    while len(labels) > MAX_TAGS:
        client.log_batch(run_id, metrics, to_set, labels[:MAX_TAGS])
        metrics, to_set, labels = [], [], labels[MAX_TAGS:]
    if metrics or to_set or labels:
        client.log_batch(run_id, metrics, to_set, labels)


def log_data(client: MlflowClient, run_id: str, digests: Mapping[str, str]) -> None:
    """Logs data sets as inputs, by name and digest; again is harmless."""
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

    if digests:
        inputs = [
            DatasetInput(
                # Where rows come from is in the config; what they are is in the digest.
                Dataset(name[:MAX_DATASET_NAME], digest[:MAX_DIGEST], "hpo", "{}"),
                [InputTag(MLFLOW_DATASET_CONTEXT, name[:MAX_DATASET_NAME])],
            )
            for name, digest in digests.items()
        ]
        client.log_inputs(run_id, inputs)


def milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
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
