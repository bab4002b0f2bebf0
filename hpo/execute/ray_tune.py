"""Runs a study's trials on Ray: the coordinator is an actor, every worker a Tune trial.

Ray Tune owns placement, resources and the replacement of workers that died. It is handed tickets,
not configs: a worker takes trials from the coordinator until none are left.
"""

from __future__ import annotations

import logging
import math
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

# Ray reads these when it is imported.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # the old output can be switched off, the new one cannot
os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
# On Linux Ray takes the machine's outward address even when told 127.0.0.1, and then every server
# of its own listens on all interfaces. This is the switch by which it stays on loopback elsewhere.
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
# Workers watch the memory themselves: Tune ends with an exception when Ray kills one of them.
os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")

import ray
from ray import tune
from ray.exceptions import RayError
from ray.tune.error import TuneError
from ray.tune.search import Searcher

from hpo import trainable as trainables
from hpo.errors import ResourceError
from hpo.execute.settings import ResourceSettings
from hpo.execute.worker import Channel, Setup, Supervised, work

log = logging.getLogger(__name__)

C = TypeVar("C")

WATCH_S = 1.0
"""At most between two looks at workers that may be overdue; signs of life are looked for twice as
often as they come."""

ENGINE_ERRORS = (RayError, TuneError)
"""What Ray raises. An error of ours from another process is both one of these and itself."""


@contextmanager
def cluster() -> Iterator[None]:
    """A Ray cluster for this run: the one that is there, or a local one that ends with the run."""
    if ray.is_initialized():
        yield
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
        yield
    finally:
        ray.shutdown()


@contextmanager
def joined(code: Path) -> Iterator[None]:
    """The cluster that this process is a job of.

    Args:
        code: a folder that every worker has as its working folder, on whatever node it is.
    """
    ray.init(
        address="auto",
        runtime_env={"working_dir": str(code)},
        log_to_driver=False,
        logging_level=logging.CRITICAL,
        namespace="hpo",
    )
    try:
        yield
    finally:
        ray.shutdown()


def count_workers(settings: ResourceSettings) -> int:
    """How many workers the study gets.

    Raises:
        ResourceError: the cluster has not what the study asks for.
    """
    have: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    cpus, gpus = int(have.get("CPU", 0)), have.get("GPU", 0.0)
    if settings.gpus > gpus:
        raise ResourceError(
            f"resources.gpus asks for {settings.gpus:g} a worker, this machine has {gpus:g}",
            "set resources.gpus to 0, or run where there is a GPU",
        )
    if settings.gpus > 1 and settings.gpus != int(settings.gpus):
        raise ResourceError(
            f"resources.gpus above 1 must be whole, got {settings.gpus:g}",
            "a GPU is shared by fractions below 1",
        )
    fit = cpus // settings.cpus
    if settings.gpus:
        # 1 // 0.1 is 9 in floating point.
        on_one = math.floor(1 / settings.gpus + 1e-9)
        fit = min(fit, on_one * int(gpus) if settings.gpus < 1 else int(gpus // settings.gpus))
    wanted = settings.workers or max(fit, 1)
    if wanted > fit:
        raise ResourceError(
            f"{wanted} workers with {settings.cpus} CPUs and {settings.gpus:g} GPUs each do not fit"
            f" on {cpus} CPUs and {gpus:g} GPUs",
            f"set resources.workers to {fit} or leave it out" if fit else "ask for less a worker",
        )
    return wanted


def start_coordinator(kind: type[C], stage: Any) -> C:
    """Starts the coordinator as an actor; what comes back behaves like the coordinator itself.

    It is restarted from the record when its process dies, and calls in flight are sent again.
    """

    class Restartable(kind):  # type: ignore[misc, valid-type]
        def __init__(self, stage: Any) -> None:
            again = ray.get_runtime_context().was_current_actor_reconstructed
            super().__init__(stage, again=again)

    # Workers that wait for a draw have a thread of their own: reports go on meanwhile.
    actor = (
        ray.remote(concurrency_groups={_ASKING: 1})(Restartable)  # type: ignore[call-overload]
        .options(num_cpus=0, max_restarts=-1, max_task_retries=-1)
        .remote(stage)
    )
    return cast(C, Remote(actor))


_ASKING = "asking"


class Remote:
    """Calls an actor's methods as if it were here."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        method = getattr(self._actor, name)
        if name == "next_trial":
            method = method.options(concurrency_group=_ASKING)
        return lambda *args, **kwargs: ray.get(method.remote(*args, **kwargs))

    def __reduce__(self) -> tuple[type[Remote], tuple[Any]]:
        return Remote, (self._actor,)


def run(setup: Setup, settings: ResourceSettings, workers: int, coordinator: Any) -> None:
    """Keeps `workers` workers at work; returns when no trial is left or the study was stopped.

    What Tune says meanwhile goes to the study's engine log.
    """
    resources = {"cpu": settings.cpus, "gpu": settings.gpus}
    setup = replace(
        setup,
        heartbeat_seconds=settings.heartbeat_seconds,
        memory_limit=settings.memory_limit,
    )
    watched = Workers(coordinator, min(WATCH_S, settings.heartbeat_seconds / 2))
    with (
        tempfile.TemporaryDirectory(prefix="hpo-tune-") as scratch,
        setup.study.log.open("a") as log,
        redirect_stdout(log),
        redirect_stderr(log),
        watched,
    ):
        tune.Tuner(
            tune.with_resources(
                partial(_worker, setup=setup, cpus=settings.cpus, coordinator=coordinator),
                resources,
            ),
            tune_config=tune.TuneConfig(
                search_alg=Tickets(coordinator), num_samples=-1, max_concurrent_trials=workers
            ),
            run_config=tune.RunConfig(
                name="workers",
                storage_path=scratch,
                verbose=0,
                callbacks=[watched],
                failure_config=tune.FailureConfig(max_failures=0),
            ),
        ).fit()


class Tickets(Searcher):
    """Hands Tune one ticket for every worker that should be there."""

    def __init__(self, coordinator: Supervised) -> None:
        super().__init__(metric="none", mode="min")
        self.coordinator = coordinator

    def suggest(self, trial_id: str) -> Any:
        if self.coordinator.work_left():
            return {"worker": trial_id}
        return Searcher.FINISHED if self.coordinator.finished() else None

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing to learn from a worker's end; `Workers` tells the coordinator."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the record is the truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


class Workers(tune.Callback):
    """Tells the coordinator which workers ended, and kills those that it gives up.

    Use as a context manager around the run.
    """

    def __init__(self, coordinator: Supervised, every_seconds: float) -> None:
        self._coordinator = coordinator
        self._every_seconds = every_seconds
        self._alive: dict[str, Any] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="hpo-workers", daemon=True)

    def __reduce__(self) -> tuple[type[Workers], tuple[Supervised, float]]:
        return Workers, (
            self._coordinator,
            self._every_seconds,
        )  # Tune writes down what it was given

    def __enter__(self) -> Workers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._alive[trial.trial_id] = trial

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._alive.pop(trial.trial_id, None)
        self._coordinator.worker_ended(trial.trial_id, died=False)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._alive.pop(trial.trial_id, None)
        self._coordinator.worker_ended(trial.trial_id, died=True)

    def _watch(self) -> None:
        while not self._over.wait(self._every_seconds):
            alive = dict(self._alive)
            try:
                for worker in self._coordinator.overdue(list(alive)):
                    actor = alive[worker].temporary_state.ray_actor if worker in alive else None
                    if actor is not None:
                        ray.kill(actor)
            except Exception as error:  # the coordinator is being started again, for example
                log.info("workers could not be looked after: %s", str(error).splitlines()[0])


def _worker(config: dict[str, Any], setup: Setup, cpus: int, coordinator: Channel) -> None:
    # Ray sets OMP_NUM_THREADS for its processes; libraries with pools of their own are told here,
    # before the trainable imports them.
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = str(cpus)
    trainable = trainables.load(setup.trainable, setup.folder)
    work(setup, trainable, coordinator, worker=config["worker"])
