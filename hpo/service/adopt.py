"""Takes a Ray cluster and an MLflow server that others run for the service, as on Kubernetes."""

from __future__ import annotations

import os
import time
import urllib.error

from hpo.errors import HpoError, InputError
from hpo.home import Home
from hpo.opener import opener
from hpo.service import ray_head
from hpo.service.jobs import Jobs
from hpo.service.options import Options
from hpo.service.queue import Queue
from hpo.service.state import Service, ServiceFolder
from hpo.service.up import Up
from hpo.track import home_server
from hpo.track.home_server import HomeServer

PATIENCE_S = 600.0
"""They may be coming up just now, and one of them may wait for its database."""

ANSWER_S = 10.0


def adopt(home: Home, ray: str, tracking: str, artifacts: str | None) -> Up:
    """Waits for both, and goes on with the studies that were queued or running.

    Must be called on the machine of the cluster's head, with its HOST:PORT in `RAY_ADDRESS` (where
    KubeRay puts it), Ray's token in `RAY_AUTH_TOKEN`, and MLflow's user in
    `MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_PASSWORD`.

    Args:
        ray: the URL of the head's job API.
        tracking: the URL of the MLflow server.
        artifacts: where checkpoints go, below `checkpoints/`; `None`: into the home folder.

    Raises:
        InputError: one of the two lets anybody in, the cluster has no slots for studies, or this
            home has a service of its own.
        HpoError: one of them does not answer.
    """
    ray, tracking = ray.rstrip("/"), tracking.rstrip("/")
    home.make()
    folder = ServiceFolder.of(home)
    folder.make()
    with folder.alone():
        before = folder.read()
        if before is not None and before.ray is not None and before.is_up:
            raise InputError(f"a service of its own is up on {home.root}", "hpo down comes first")
        address = _told("RAY_ADDRESS", "the HOST:PORT of the cluster's head")
        folder.keep_token(_told("RAY_AUTH_TOKEN", "the cluster's token"))
        _told("MLFLOW_TRACKING_PASSWORD", "that of MLFLOW_TRACKING_USERNAME")
        _refuse_open(f"{tracking}/api/2.0/mlflow/experiments/get?experiment_id=0", "MLflow")
        _refuse_open(f"{ray}/api/jobs/", "Ray")
        service = Service(
            options=Options(artifacts=artifacts, secured=True),
            ray=None,
            address=address,
            jobs=ray,
        )
        slots = _slots(Jobs(service, home))
        options = service.options.model_copy(update={"studies": slots})
        service = service.model_copy(update={"options": options})
        server = HomeServer(url=tracking, process=None, secured=True)
        home_server.write(home, server)
        folder.write(service)
        folder.closing.unlink(missing_ok=True)
        names = Queue(home).interrupted()
        for _ in names:  # one too many does no harm
            Jobs(service, home).hand_in_driver()
        return Up(service, server, was_up=False, going_on=tuple(names))


def _told(variable: str, what: str) -> str:
    value = os.environ.get(variable, "")
    if not value:
        raise InputError(f"{variable} is not set", f"it must hold {what}")
    return value


def _refuse_open(url: str, name: str) -> None:
    """Waits for an answer to somebody who does not say who they are, which must be a refusal."""
    deadline, why = time.monotonic() + PATIENCE_S, ""
    while time.monotonic() < deadline:
        try:
            with opener().open(url, timeout=ANSWER_S):
                raise InputError(
                    f"{name} at {url} does not ask who is there",
                    "switch on its authentication: a token for Ray, basic-auth for MLflow",
                )
        except urllib.error.HTTPError as error:
            if error.code in (401, 403):
                return
            why = str(error)
        except OSError as error:
            why = str(error)
        time.sleep(1)
    raise HpoError(f"{name} at {url} does not answer: {why}", "see what its own log says")


def _slots(jobs: Jobs) -> int:
    """How many studies the cluster runs side by side."""
    deadline = time.monotonic() + PATIENCE_S
    while not (slots := jobs.resource(ray_head.SLOT)):
        if time.monotonic() > deadline:
            raise InputError(
                f"the cluster has no resource {ray_head.SLOT}, which every study needs one of",
                f"""start its head with --resources='{{"{ray_head.SLOT}": 4}}'""",
            )
        time.sleep(1)
    return int(slots)
