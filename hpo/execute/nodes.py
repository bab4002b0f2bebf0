"""The nodes of a cluster: which of them a study's workers may run on, and how many there fit."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from hpo.checkpoints import Checkpoints, Store, StoreLost
from hpo.errors import ResourceError, first_line
from hpo.execute.settings import ResourceSettings

log = logging.getLogger(__name__)

ROOM_S = 300.0
"""How long a cluster has until it has room for a study's workers."""

LOOK_S = 2.0

PROBE_S = 60.0
"""How long a node has to say whether it sees the checkpoints; a first process must start there."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node that is alive.

    Args:
        id: Ray's.
        name: for people.
        resources: what it has in all, by Ray's names.
    """

    id: str
    name: str
    resources: Mapping[str, float]

    def room(self, settings: ResourceSettings) -> int:
        """How many workers fit on it."""
        cpus, gpus = int(self.resources.get("CPU", 0)), self.resources.get("GPU", 0.0)
        fit = cpus // settings.cpus
        if settings.gpus:
            # 1 // 0.1 is 9 in floating point.
            on_one = math.floor(1 / settings.gpus + 1e-9)
            fit = min(fit, on_one * int(gpus) if settings.gpus < 1 else int(gpus // settings.gpus))
        return fit


def alive() -> list[Node]:
    """The nodes of the cluster."""
    return [
        Node(node["NodeID"], f"{node['NodeName']} ({node['NodeID'][:8]})", node["Resources"])
        for node in ray.nodes()  # type: ignore[no-untyped-call]
        if node["Alive"]
    ]


def here() -> str:
    """The id of the node that this process runs on."""
    return str(ray.get_runtime_context().get_node_id())


def usable(checkpoints: Checkpoints) -> list[Node]:
    """The nodes that workers of a study may run on: those that see its checkpoints."""
    return [node for node in alive() if checkpoints.is_shared or node.id == here()]


def is_joined() -> bool:
    """Whether this process is a job of a cluster that goes on without it, and not its owner."""
    return "working_dir" in ray.get_runtime_context().runtime_env


def check(settings: ResourceSettings, checkpoints: Checkpoints) -> None:
    """Refuses a study whose workers would not all see its checkpoints, or that does not fit.

    A cluster that goes on without this process is given some time to make room: its head may just
    have come up again, and its nodes be about to.

    Raises:
        ResourceError: the remedy is in it.
    """
    deadline = time.monotonic() + (ROOM_S if is_joined() else 0.0)
    while True:
        others = [node for node in alive() if node.id != here() and node.room(settings)]
        if others and not checkpoints.is_shared:
            raise ResourceError(
                "workers would run on several nodes, and only this one sees the checkpoints in the"
                f" home folder, which {_names(others)} does not",
                "name a place that all nodes reach, in the study file (checkpoints:"
                " s3://BUCKET/PATH, or a folder that they share) or for the whole service:"
                " hpo up --artifacts URI",
            )
        try:
            count_workers(settings, usable(checkpoints))
            break
        except ResourceError as error:
            if time.monotonic() > deadline:
                raise
            log.info("waiting for room: %s", error.message)
            time.sleep(LOOK_S)
    if checkpoints.store is not None:
        _check_store(others, checkpoints.store)


def count_workers(settings: ResourceSettings, nodes: Sequence[Node]) -> int:
    """How many workers a study gets.

    Raises:
        ResourceError: the nodes have not what the study asks for.
    """
    cpus = sum(int(node.resources.get("CPU", 0)) for node in nodes)
    gpus = sum(node.resources.get("GPU", 0.0) for node in nodes)
    most = max((node.resources.get("GPU", 0.0) for node in nodes), default=0.0)
    if settings.gpus > most:
        where = "this machine has" if len(nodes) == 1 else "no machine has more than"
        raise ResourceError(
            f"resources.gpus asks for {settings.gpus:g} a worker, {where} {most:g}",
            "set resources.gpus to 0, or run where there is a GPU",
        )
    if settings.gpus > 1 and settings.gpus != int(settings.gpus):
        raise ResourceError(
            f"resources.gpus above 1 must be whole, got {settings.gpus:g}",
            "a GPU is shared by fractions below 1",
        )
    fit = sum(node.room(settings) for node in nodes)
    wanted = settings.workers or max(fit, 1)
    if wanted > fit:
        on = f"on {cpus} CPUs and {gpus:g} GPUs"
        raise ResourceError(
            f"{wanted} workers with {settings.cpus} CPUs and {settings.gpus:g} GPUs each do not fit"
            f" {on}" + f" of {len(nodes)} machines" * (len(nodes) > 1),
            f"set resources.workers to {fit} or leave it out" if fit else "ask for less a worker",
        )
    return wanted


def _check_store(others: Sequence[Node], store: Store) -> None:
    try:
        mark = store.put_mark()
    except StoreLost as lost:
        raise ResourceError(lost.message, lost.hint) from None
    look = ray.remote(num_cpus=0, max_retries=0)(_look)
    try:
        asked = {
            node.name: look.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False)
            ).remote(store, mark)
            for node in others
        }
        for name, answer in asked.items():
            try:
                wrong = ray.get(answer, timeout=PROBE_S)
            except (RayError, TimeoutError) as error:
                wrong = f"it does not answer: {first_line(error)}"
            if wrong:
                raise ResourceError(
                    f"the node {name} cannot use the store for checkpoints: {wrong}",
                    "a folder must be mounted there at the same path; s3:// and gs:// need their"
                    " credentials in the environment that the node was started with",
                )
    finally:
        store.remove_mark(mark)


def _look(store: Store, mark: str) -> str:
    return store.sees(mark)


def _names(nodes: Sequence[Node]) -> str:
    return ", ".join(node.name for node in nodes)
