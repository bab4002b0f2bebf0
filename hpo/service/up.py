"""Starts the service on this machine, and ends it."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from hpo.checkpoints import DEFAULT
from hpo.errors import HpoError, InputError
from hpo.home import Home
from hpo.lock import FileLock
from hpo.service import mlflow_server, ray_head
from hpo.service.processes import Process, start, stop
from hpo.service.state import Service, ServiceFolder
from hpo.track import server

START_TIMEOUT_S = 90.0

PATIENCE_S = 30.0
"""How long processes have to end before they are killed. Studies have been stopped by then."""

JOBS_PORT = 8265
TRACKING_PORT = 5000
"""Those that users of Ray and MLflow know; where one is taken, any free port."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a service is to be.

    Args:
        studies: how many may run side by side.
        host: the address to listen on.
        store: MLflow's database; `None`: SQLite in the home folder.
        artifacts: where MLflow keeps files: a folder or a URI; `None`: in the home folder.
        password: of MLflow's user "admin"; needed beyond loopback.
    """

    studies: int = 4
    host: str = mlflow_server.LOOPBACK
    store: str | None = None
    artifacts: str | None = None
    password: str | None = None


def up(home: Home, options: Options) -> tuple[Service, bool]:
    """Starts what is not up yet.

    Returns:
        the service, and whether it was up before.

    Raises:
        InputError: these options are refused, or another `hpo up` is at work.
        HpoError: a process did not start.
    """
    home.make()
    folder = ServiceFolder.of(home)
    folder.make()
    with FileLock(folder.lock, START_TIMEOUT_S):
        before = folder.read()
        if before is not None and before.is_up:
            return before, True
        mlflow_server.check(options.host, options.password)
        folder.make_token()
        tracking = _start_mlflow(home, folder, options)
        try:
            service = _start_ray(folder, options, tracking)
        except BaseException:
            stop(tracking.process, PATIENCE_S)
            raise
        folder.write(service)
        return service, False


def join(home: Home, address: str) -> Process:
    """Makes this machine a node of another's service.

    Args:
        address: of the head, HOST:PORT; its token must be in this home's service folder.

    Raises:
        InputError: there is no token.
        HpoError: the head cannot be reached.
    """
    folder = ServiceFolder.of(home)
    folder.make()
    if not folder.token.exists():
        raise InputError(
            f"the service at {address} lets nobody in without its token",
            f"copy service/{folder.token.name} from its home folder to {folder.token}",
        )
    host = _host_towards(address)
    environment = {**ray_head.environment(folder.token), **ray_head.network(host)}
    return start(ray_head.node(host, address), environment, folder.log("node"))


def down(home: Home) -> bool:
    """Ends the processes that `up` started, and no others.

    Returns:
        whether there were any.
    """
    folder = ServiceFolder.of(home)
    service = folder.read()
    if service is None:
        return False
    for process in (service.ray, service.mlflow):
        if process is not None:
            stop(process, PATIENCE_S)
    folder.state.unlink(missing_ok=True)
    return True


def call(service: Service, token: Path, path: str) -> object:
    """The answer of Ray's job API."""
    request = urllib.request.Request(
        f"{service.jobs}{path}", headers={"Authorization": f"Bearer {token.read_text().strip()}"}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10) as answer:
        return json.load(answer)


@dataclass(frozen=True, slots=True)
class _Tracking:
    process: Process
    url: str


def _start_mlflow(home: Home, folder: ServiceFolder, options: Options) -> _Tracking:
    port = _port(options.host, TRACKING_PORT)
    url = f"http://{options.host}:{port}"
    log = folder.log("mlflow")
    process = start(
        mlflow_server.command(home, options.host, port, options.artifacts, options.password),
        mlflow_server.environment(
            home, folder, options.host, port, options.store, options.password
        ),
        log,
    )
    try:
        server.wait_until_it_answers(url, lambda: process.find() is not None, log, "MLflow")
    except BaseException:
        stop(process, PATIENCE_S)
        raise
    return _Tracking(process, url)


def _start_ray(folder: ServiceFolder, options: Options, tracking: _Tracking) -> Service:
    port, client = server.free_port(), server.free_port()
    jobs = _port(options.host, JOBS_PORT)
    environment = {**ray_head.environment(folder.token), **ray_head.network(options.host)}
    log = folder.log("ray")
    command = ray_head.head(options.host, port, jobs, client, options.studies)
    ray = start(command, environment, log)
    service = Service(
        studies=options.studies,
        ray=ray,
        address=f"{options.host}:{port}",
        jobs=f"http://{options.host}:{jobs}",
        mlflow=tracking.process,
        tracking=tracking.url,
        checkpoints=checkpoints_in(options.artifacts),
    )
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and ray.find() is not None:
        try:
            call(service, folder.token, "/api/jobs/")
            return service
        except (OSError, ValueError):
            time.sleep(0.2)
    stop(ray, PATIENCE_S)
    raise HpoError(f"Ray did not start:\n{server.last_words(log)}", f"all it said is in {log}")


def _port(host: str, wanted: int) -> int:
    try:
        server.check_port(host, wanted, "")
        return wanted
    except InputError:
        return server.free_port()


def checkpoints_in(artifacts: str | None) -> str:
    """Where checkpoints go that no study file names a place for: to the store of the artifacts, if
    that is one which other machines reach."""
    return f"{artifacts.rstrip('/')}/checkpoints" if artifacts and "://" in artifacts else DEFAULT


def _host_towards(address: str) -> str:
    """This machine's own address as seen from another."""
    import socket

    host, _, port = address.rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, int(port)))
        except (OSError, ValueError) as error:
            raise InputError(
                f"{address!r} is no address of a service: {error}", "HOST:PORT"
            ) from None
        return str(probe.getsockname()[0])
