"""Starts the service on this machine."""

from __future__ import annotations

import getpass
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from hpo.errors import HpoError, InputError, StudyConflict
from hpo.files import read_end
from hpo.home import Home
from hpo.lock import FileLock
from hpo.process import Process
from hpo.service import mlflow_server, ray_head
from hpo.service.jobs import Jobs
from hpo.service.options import Given, Options
from hpo.service.processes import listens, start, stop
from hpo.service.queue import Queue
from hpo.service.state import Node, Service, ServiceFolder
from hpo.track import home_server, server
from hpo.track.home_server import HomeServer

START_TIMEOUT_S = 180.0

PATIENCE_S = 30.0
"""How long processes have to end before they are killed. Studies have been stopped by then."""

LOG_END_BYTES = 64 << 10

RAY_PORT = 6379
JOBS_PORT = 8265
TRACKING_PORT = 5000
"""Those that users of Ray and MLflow know; where one is taken, any free port."""


@dataclass(frozen=True, slots=True)
class Up:
    """A service that is up.

    Args:
        was_up: before it was asked for.
        differing: what was asked for and is otherwise, for people; only where it was up.
        going_on: studies that wait for their turn.
    """

    service: Service
    tracking: HomeServer
    was_up: bool
    differing: tuple[str, ...] = ()
    going_on: tuple[str, ...] = ()


def up(home: Home, given: Given) -> Up:
    """Starts what is not up, and goes on with what was queued and running when it went down.

    A service that ended without `hpo down` comes back with its options and on its ports.

    Raises:
        InputError: what is asked for is refused, also because a part of the service is up and runs
            otherwise, or another `hpo up` is at work.
        HpoError: a process did not start.
    """
    home.make()
    folder = ServiceFolder.of(home)
    folder.make()
    with folder.alone(), _turn():
        before, tracking = folder.read(), home_server.read(home)
        differing = tuple(given.differing(before.options)) if before is not None else ()
        if before is not None and before.is_up and tracking is not None and tracking.is_up:
            names = _go_on(home, folder, before, Queue(home).interrupted())
            return Up(before, tracking, True, differing, names)
        part = (before is not None and before.is_up) or (tracking is not None and tracking.is_up)
        if part and differing:
            raise InputError(
                f"a part of the service is up, otherwise than asked for: {'; '.join(differing)}",
                "leave that out, or hpo down comes first",
            )
        options = given.over(before.options if before is not None else None)
        folder.make_token()
        began = None
        # How one runs that was left by an `hpo up` or `hpo down` cut short is not known.
        if before is None or tracking is None or not tracking.is_up:
            tracking, began = _start_mlflow(home, folder, options, given, tracking)
        if before is not None and before.is_up:
            names = _go_on(home, folder, before, Queue(home).interrupted())
            return Up(before, tracking, False, going_on=names)
        # What a crash has left of it, or an `hpo up` that was killed.
        stop(before.ray if before else None, folder.log("ray"), PATIENCE_S)
        try:
            service = _start_ray(home, folder, options, before)
        except BaseException:
            if began is not None:
                stop(began, folder.log("mlflow"), PATIENCE_S)
            raise
        folder.write(service)
        names = _go_on(home, folder, service, Queue(home).interrupted())
        return Up(service, tracking, False, going_on=names)


def _go_on(
    home: Home, folder: ServiceFolder, service: Service, names: Sequence[str]
) -> tuple[str, ...]:
    """Sees to it that studies are begun: that of an `hpo down` that was killed no mark is left, and
    that every study that waits has a driver, though whoever put it there could not hand one in."""
    folder.closing.unlink(missing_ok=True)
    for _ in names:
        Jobs(service, home).hand_in_driver()
    return tuple(names)


@contextmanager
def _turn() -> Iterator[None]:
    """One service of this user starts at a time: a port that is found free is only taken later."""
    path = Path(tempfile.gettempdir()) / f"hpo-up-{getpass.getuser()}.lock"
    try:
        lock = FileLock(path, 2 * START_TIMEOUT_S)
    except StudyConflict:
        raise InputError("another hpo up is at work on this machine", "wait for it") from None
    with lock:
        yield


def join(home: Home, address: str) -> bool:
    """Makes this machine a node of another's service.

    Args:
        address: of the head, HOST:PORT; its token must be in this home's service folder.

    Returns:
        whether it was one before.

    Raises:
        InputError: there is no token, or this machine is a node of another service.
        HpoError: the head cannot be reached.
    """
    folder = ServiceFolder.of(home)
    folder.make()
    if not folder.token.exists():
        raise InputError(
            f"the service at {address} lets nobody in without its token",
            f"copy service/{folder.token.name} from its home folder to {folder.token}",
        )
    with folder.alone():
        before = folder.read_node()
        if before is not None and before.ray.find() is not None:
            if before.address != address:
                raise InputError(
                    f"this machine is a node of the service at {before.address}", "hpo down"
                )
            return True
        log = folder.log("node")
        if before is not None:
            stop(before.ray, log, PATIENCE_S)
        host = _host_towards(address)
        environment = {**ray_head.environment(folder.token), **ray_head.network(host)}
        node = start(ray_head.node(host, address), environment, log)
        _wait_until_joined(node, log)
        folder.write(Node(ray=node, address=address))
        return False


def _start_mlflow(
    home: Home,
    folder: ServiceFolder,
    options: Options,
    given: Given,
    before: HomeServer | None,
) -> tuple[HomeServer, Process]:
    password = given.password or home_server.password(home) if options.secured else None
    if options.secured and password is None:
        raise InputError("the admin password is not known any more", "set HPO_ADMIN_PASSWORD")
    log = folder.log("mlflow")
    # What a crash has left of it, or an `hpo up` that was killed.
    stop(before.process if before else None, log, PATIENCE_S)
    port = _port(options.host, TRACKING_PORT, before.url if before is not None else None)
    store = given.store or options.store
    process = start(
        mlflow_server.command(home, options.host, port, options.artifacts, password),
        mlflow_server.environment(home, folder, options.host, port, store, password),
        log,
    )
    url = f"http://{options.host}:{port}"
    try:
        server.wait_until_it_answers(url, lambda: process.find() is not None, log, "MLflow")
        if not listens(process, port):
            raise HpoError(
                f"another program took port {port} while MLflow started", "hpo up takes another one"
            )
        if password is not None:
            mlflow_server.check_password(url, password, folder)
            home_server.write_password(home, password)
    except BaseException:
        stop(process, log, PATIENCE_S)
        raise
    tracking = HomeServer(url=url, process=process, secured=password is not None)
    home_server.write(home, tracking)
    return tracking, process


def _start_ray(
    home: Home, folder: ServiceFolder, options: Options, before: Service | None
) -> Service:
    port = _port(
        ray_head.listens_on(options.host), RAY_PORT, f"http://{before.address}" if before else None
    )
    dashboard = _port(options.host, JOBS_PORT, before.jobs if before else None)
    environment = {**ray_head.environment(folder.token), **ray_head.network(options.host)}
    log = folder.log("ray")
    client = server.free_port()
    ray = start(
        ray_head.head(options.host, port, dashboard, client, options.studies), environment, log
    )
    service = Service(
        options=options,
        ray=ray,
        address=f"{options.host}:{port}",
        jobs=f"http://{options.host}:{dashboard}",
    )
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and ray.find() is not None:
        if Jobs(service, home).is_answering():
            return service
        time.sleep(0.2)
    stop(ray, log, PATIENCE_S)
    raise HpoError(f"Ray did not start:\n{server.last_words(log)}", f"all it said is in {log}")


def _wait_until_joined(node: Process, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and node.find() is not None:
        if "Ray runtime started" in read_end(log, LOG_END_BYTES):
            return
        time.sleep(0.2)
    stop(node, log, PATIENCE_S)
    raise HpoError(f"this machine did not join:\n{server.last_words(log)}", f"all is in {log}")


def _port(host: str, wanted: int, before: str | None) -> int:
    """A port to listen on: that of before, else the one that users know, else any."""
    for port in (urlsplit(before).port if before else None, wanted):
        try:
            if port is not None:
                server.check_port(host, port, "")
                return port
        except InputError:
            continue
    return server.free_port()


def _host_towards(address: str) -> str:
    """This machine's own address as seen from another."""
    host, _, port = address.rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, int(port)))
        except (OSError, ValueError) as error:
            raise InputError(
                f"{address!r} is no address of a service: {error}", "it is HOST:PORT"
            ) from None
        return str(probe.getsockname()[0])
