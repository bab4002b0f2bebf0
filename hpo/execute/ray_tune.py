"""Runs a study's trials on Ray: the coordinator is an actor, every worker a Tune trial.

Ray Tune owns placement, resources and the replacement of workers that died. It is handed tickets,
not configs: a worker takes trials from the coordinator until none are left.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import ray
from ray import tune
from ray.exceptions import RayError
from ray.tune.error import TuneError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from hpo import trainable as trainables
from hpo.errors import ResourceError
from hpo.execute import nodes
from hpo.execute.channel import Channel
from hpo.execute.settings import ResourceSettings
from hpo.execute.setup import Setup
from hpo.execute.share import Share, all_of_it
from hpo.execute.supervision import Over, Workers
from hpo.execute.tickets import Tickets, Wanted
from hpo.execute.worker import work

log = logging.getLogger(__name__)

C = TypeVar("C")

WATCH_S = 1.0
"""At most between two looks at workers that may be overdue; signs of life are looked for twice as
often as they come."""

ENGINE_ERRORS = (RayError, TuneError)
"""What Ray raises. An error of ours from another process is both one of these and itself."""


@contextmanager
def cluster() -> Iterator[Share]:
    """A Ray cluster for this run: the one that is there, or a local one that ends with the run."""
    if ray.is_initialized():
        yield all_of_it
        return
    try:
        ray.init(
            address="local",
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            namespace="hpo",
        )
    except Exception as error:
        raise ResourceError(
            f"Ray does not start: {type(error).__name__}: {error}",
            "run with --inline to do without it",
        ) from error
    try:
        address: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        if address != "127.0.0.1":
            raise ResourceError(
                "Ray would listen on every network interface, since it was imported before hpo",
                "set RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 before Python starts",
            )
        yield all_of_it
    finally:
        ray.shutdown()


@contextmanager
def joined(address: str, code: Path, share: Share) -> Iterator[Share]:
    """The cluster that this process is a job of, beside others.

    Args:
        address: of its head, HOST:PORT. Ray itself would take the one that was started last.
        code: a folder that every worker has as its working folder, on whatever node it is.
        share: how many workers are for this study now.
    """
    ray.init(
        address=address,
        runtime_env={"working_dir": str(code)},
        log_to_driver=False,
        logging_level=logging.CRITICAL,
        namespace="hpo",
    )
    try:
        yield share
    finally:
        ray.shutdown()


def start_coordinator(kind: type[C], stage: Any) -> C:
    """Starts the coordinator as an actor; what comes back behaves like the coordinator itself.

    It runs on this node, where the home folder is. It is restarted from the record when its process
    dies, and calls in flight are sent again, but for what a trial says.
    """

    class Restartable(kind):  # type: ignore[misc, valid-type]
        def __init__(self, stage: Any) -> None:
            again = ray.get_runtime_context().was_current_actor_reconstructed
            super().__init__(stage, again=again)

    # What takes its time has a thread of its own: reports go on meanwhile.
    actor = (
        ray.remote(concurrency_groups={_ASKING: 1})(Restartable)  # type: ignore[call-overload]
        .options(
            num_cpus=0,
            max_restarts=-1,
            max_task_retries=-1,
            scheduling_strategy=NodeAffinitySchedulingStrategy(nodes.here(), soft=False),
        )
        .remote(stage)
    )
    return cast(C, Remote(actor))


_ASKING = "asking"

_SLOW = ("next_trial", "more", "store_lost")
"""What waits for a draw, or for a store."""

_ONCE = ("said",)
"""What would be there twice if it were sent again; nobody misses a second of what a trial says."""


class Remote:
    """Calls an actor's methods as if it were here."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        method = getattr(self._actor, name)
        if name in _SLOW:
            method = method.options(concurrency_group=_ASKING)
        if name in _ONCE:
            method = method.options(max_task_retries=0)
        return lambda *args, **kwargs: ray.get(method.remote(*args, **kwargs))

    def __reduce__(self) -> tuple[type[Remote], tuple[Any]]:
        return Remote, (self._actor,)


def run(setup: Setup, settings: ResourceSettings, share: Share, coordinator: Any) -> None:
    """Keeps workers at work; returns when no trial is left or the study was stopped.

    What Tune says meanwhile goes to the study's engine log.
    """
    setup = replace(
        setup,
        heartbeat_seconds=settings.heartbeat_seconds,
        memory_limit=settings.memory_limit,
    )
    seat = Seat(
        home=nodes.here(),
        shipped=nodes.is_joined(),
        cpus=settings.cpus,
    )
    wanted = Wanted(settings, setup.checkpoints, share)
    watched = Workers(coordinator, wanted, min(WATCH_S, settings.heartbeat_seconds / 2))
    with (
        tempfile.TemporaryDirectory(prefix="hpo-tune-") as scratch,
        setup.study.log.open("a") as log,
        redirect_stdout(log),
        redirect_stderr(log),
        watched,
    ):
        tune.Tuner(
            tune.with_resources(
                partial(_worker, setup=setup, seat=seat, coordinator=coordinator),
                _placement(settings, None if setup.checkpoints.is_shared else seat.home),
            ),
            tune_config=tune.TuneConfig(
                search_alg=Tickets(coordinator, wanted),
                num_samples=-1,
            ),
            run_config=tune.RunConfig(
                name="workers",
                storage_path=scratch,
                verbose=0,
                callbacks=[watched],
                stop=Over(watched, coordinator),
                failure_config=tune.FailureConfig(max_failures=0),
            ),
        ).fit()


def _placement(settings: ResourceSettings, node: str | None) -> tune.PlacementGroupFactory:
    """What a worker needs, and the node that it must be on, if any."""
    bundle = {"CPU": settings.cpus, "GPU": settings.gpus}
    if node is None:
        return tune.PlacementGroupFactory([bundle])
    return tune.PlacementGroupFactory([bundle], bundle_label_selector=[{"ray.io/node-id": node}])


@dataclass(frozen=True, slots=True)
class Seat:
    """What a worker must know of the cluster.

    Args:
        home: the node that has the study's folder.
        shipped: whether Ray brought the study file's folder to every node.
        cpus: of the worker.
    """

    home: str
    shipped: bool
    cpus: int


def _worker(config: dict[str, Any], setup: Setup, seat: Seat, coordinator: Channel) -> None:
    # Ray sets OMP_NUM_THREADS for its processes; libraries with pools of their own are told here,
    # before the trainable imports them.
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = str(seat.cpus)
    node = nodes.here()
    setup = replace(setup, sees_study=node == seat.home)
    if seat.shipped:
        # Where Ray put what it shipped; Tune has gone to another folder since.
        setup = replace(setup, folder=Path(os.environ["TUNE_ORIG_WORKING_DIR"]))
    coordinator.began(config["worker"], node)
    trainable = trainables.load(setup.trainable, setup.folder)
    work(setup, trainable, coordinator, worker=config["worker"])
