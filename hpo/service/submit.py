"""Hands a study to the service."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hpo import frozen, run_lock, studyfile
from hpo.errors import InputError
from hpo.home import Home
from hpo.result import is_complete
from hpo.reuse.provenance import remember_origin
from hpo.service import shipping
from hpo.service.jobs import Jobs
from hpo.service.queue import Queue
from hpo.service.state import Service, ServiceFolder
from hpo.track.page import Page, page_of


@dataclass(frozen=True, slots=True)
class Submitted:
    """A study that waits for its turn.

    Args:
        page: where the tracker shows it; `None` if it has no page.
        turn: 1 for the one that is next; `None` for one that is complete and does not wait.
    """

    name: str
    page: Page | None
    turn: int | None


def submit(
    path: str | Path,
    home: Home,
    overrides: Mapping[str, str] | None = None,
    priority: int | None = None,
    extend: bool = False,
) -> Submitted:
    """Has a study wait for its turn.

    The code that it needs is copied: what is edited later does not touch it.

    Args:
        priority: in place of the study file's.
        extend: the space may have grown since it was run before.

    Raises:
        InputError: the study file is wrong, its folder cannot be shipped, the study is running, or
            the service is not up.
    """
    service = running(home)
    study = studyfile.load(path, overrides)
    shipment = shipping.pack(study.folder, home.root)
    folder = home.study(study.name)
    queue = Queue(home)

    def prepare() -> bool:
        if run_lock.is_running(folder):
            raise InputError(f"another process runs the study {study.name!r}", "wait for it")
        shipped = shipping.unpack(shipment, folder.code)
        try:
            # The study as it will be run. With it the code is named: until then, the old one is.
            frozen.freeze(replace(study, folder=shipped), home, extend, service.options.checkpoints)
        except BaseException:
            shutil.rmtree(shipped, ignore_errors=True)
            raise
        remember_origin(study.folder, folder, home.root)
        shipping.keep_only(shipped)
        return not is_complete(study, folder)

    page = page_of(study.file.tracking, home, study.name)
    priority = study.file.priority if priority is None else priority
    if not queue.put(study.name, priority, page.url if page else "", prepare):
        return Submitted(study.name, page, turn=None)
    Jobs(service, home).hand_in_driver()
    waiting = queue.waiting()
    turn = waiting.index(study.name) + 1 if study.name in waiting else 1
    return Submitted(study.name, page, turn)


def running(home: Home) -> Service:
    """The service of a home.

    Raises:
        InputError: it is not up.
    """
    service = ServiceFolder.of(home).read()
    if service is None or not service.is_up:
        raise InputError(f"no service is up on {home.root}", "start it: hpo up")
    return service
