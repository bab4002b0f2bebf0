"""What sets workers to work: this process, or a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import TracebackType

from hpo.coordinator import Coordinator
from hpo.errors import HpoError, StudyFailed, last_line
from hpo.execute import inline
from hpo.execute.setup import Setup
from hpo.execute.share import Cluster, Share
from hpo.stage import Stage
from hpo.studyfile import Study


class Engine:
    """Runs stages of studies, one after the other. Use as a context manager.

    Ray is loaded, and its cluster started, for the first stage that has work left; the cluster
    serves all stages and ends with the engine.

    Args:
        in_process: without Ray, one trial after the other.
        cluster: default: the one that this process is connected with, or a local one.
    """

    def __init__(self, in_process: bool, cluster: Cluster | None = None) -> None:
        self._in_process = in_process
        self._cluster = cluster
        self._share: Share | None = None
        self._open = ExitStack()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open.__exit__(kind, error, traceback)

    @contextmanager
    def coordinating(
        self, study: Study, stage: Stage
    ) -> Iterator[tuple[Coordinator, Callable[[], None]]]:
        """A stage's coordinator, here or as a Ray actor, and what works until nothing is left.

        What the coordinator knows can still be read afterwards, while the engine is open.
        """
        setup = Setup(
            trainable=study.file.trainable,
            folder=study.folder,
            study=stage.folder,
            checkpoints=stage.checkpoints(),
            pack=study.file.resources.pack,
            device_share=min(1.0, study.file.resources.gpus or 1.0),
            isolate=study.file.resources.isolate,
            capture=not self._in_process,
        )
        coordinator = Coordinator(stage)
        try:
            if self._in_process or not coordinator.work_left():
                yield coordinator, lambda: inline.run(setup, coordinator)
                return
        finally:
            coordinator.close()
        with self._on_ray(study, stage, setup) as found:
            yield found

    @contextmanager
    def _on_ray(
        self, study: Study, stage: Stage, setup: Setup
    ) -> Iterator[tuple[Coordinator, Callable[[], None]]]:
        from hpo.execute import nodes, ray_tune

        share = self._share
        if share is None:
            cluster = self._cluster or ray_tune.cluster
            share = self._share = self._open.enter_context(cluster())
        resources = study.file.resources
        nodes.check(resources, setup.checkpoints)
        coordinator = ray_tune.start_coordinator(Coordinator, stage)
        try:
            yield coordinator, lambda: ray_tune.run(setup, resources, share, coordinator)
        except ray_tune.ENGINE_ERRORS as error:
            if isinstance(error, HpoError):  # ours, raised in the coordinator's process
                raise
            raise StudyFailed(
                f"Ray failed: {last_line(error)[:200]}",
                "run the study again to continue it: nothing that finished is lost",
            ) from error
        finally:
            with suppress(Exception):  # it may be gone, and what went wrong before matters more
                coordinator.close()
