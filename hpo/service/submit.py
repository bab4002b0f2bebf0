"""Hands a study to the service."""

from __future__ import annotations

from pathlib import Path

from hpo import frozen, studyfile
from hpo.errors import InputError
from hpo.home import Home
from hpo.reuse.provenance import remember_origin
from hpo.service import shipping
from hpo.service.jobs import Jobs
from hpo.service.queue import Queue
from hpo.service.state import Service, ServiceFolder


def submit(path: str | Path, home: Home, priority: int = 0, extend: bool = False) -> str:
    """Has a study wait for its turn; returns its name.

    Raises:
        InputError: the study file is wrong, its folder cannot be shipped, the study is running, or
            the service is not up.
    """
    service = running(home)
    study = studyfile.load(path)
    shipment = shipping.pack(study.folder, home.root)
    folder = home.study(study.name)
    # The study as it will be run: in the folder that was shipped.
    shipping.unpack(shipment, folder.code)
    remember_origin(study.folder, folder, home.root)
    shipped = studyfile.load(folder.code / studyfile.locate(path).name)
    frozen.freeze(shipped, home, extend, service.checkpoints)
    if Queue(home).put(study.name, priority):
        Jobs(service, home).hand_in_driver(home)
    return study.name


def running(home: Home) -> Service:
    """The service of a home.

    Raises:
        InputError: it is not up.
    """
    service = ServiceFolder.of(home).read()
    if service is None or not service.is_up:
        raise InputError(f"no service is up on {home.root}", "start it: hpo up")
    return service
