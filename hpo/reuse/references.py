"""From how people name a result to a bundle."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from hpo.bundle import Bundle, newest, open_bundle
from hpo.errors import InputError
from hpo.home import STUDY_NAME, Home
from hpo.spec import find_spec, read_spec
from hpo.track.login import Address
from hpo.track.settings import TrackingSettings, address_of

CHAMPION = "champion"
_REGISTERED = re.compile(rf"(?P<name>{STUDY_NAME.pattern})@(?P<alias>[^@/]*)")

# MLflow takes these for versions and not for aliases.
_NO_ALIAS = re.compile(r"latest|v\d+")
_ALIAS = re.compile(r"[a-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Reference:
    """What somebody has named: a study, what an alias stands for, or the folder of a bundle.

    Args:
        name: of the study; `None` for a folder.
        alias: `None`: as the study itself has it.
    """

    name: str | None = None
    alias: str | None = None
    folder: Path | None = None

    @classmethod
    def parse(cls, text: str | Path) -> Reference:
        """`NAME`, `NAME@ALIAS`, or the path of a folder: with a slash or a dot in it.

        Raises:
            InputError: it is none of these.
        """
        if isinstance(text, str) and STUDY_NAME.fullmatch(text):
            return cls(name=text)
        if isinstance(text, str) and (found := _REGISTERED.fullmatch(text)):
            check_alias(found["alias"])
            return cls(name=found["name"], alias=found["alias"])
        if isinstance(text, Path) or (isinstance(text, str) and (os.sep in text or "." in text)):
            return cls(folder=Path(text))
        raise InputError(
            f"a result is NAME, NAME@ALIAS or the folder of a bundle, got {text!r}",
            "a study's name is 1 to 64 of a-z 0-9 - _; write ./FOLDER for a folder",
        )


def check_alias(alias: str) -> None:
    """Raises InputError unless it can stand for a version."""
    if not _ALIAS.fullmatch(alias) or _NO_ALIAS.fullmatch(alias):
        raise InputError(
            f"an alias is 1 to 64 of a-z 0-9 - _, and neither 'latest' nor v and a number,"
            f" got {alias!r}",
            f"the usual one is {CHAMPION}",
        )


def bundle_of(reference: Reference, home: Home, uri: str | None = None) -> Bundle:
    """The bundle that is meant, every file of it checked.

    Args:
        uri: MLflow's, where to look an alias up; default: see `registry_of`.

    Raises:
        InputError: there is none, or it was changed.
        HpoError: the registry does not answer.
    """
    if reference.folder is not None:
        return open_bundle(reference.folder)
    assert reference.name is not None
    if reference.alias is not None:
        return _registered(reference.name, reference.alias, home, uri)
    folder = home.study(reference.name)
    path = newest(folder.bundles)
    if path is None:
        read_spec(folder)
        raise InputError(
            f"study {reference.name!r} has left no bundle in {home.root}",
            f"a study leaves one when it is done; hpo status {reference.name} shows how far it is",
        )
    return open_bundle(path)


def registry_of(name: str, home: Home) -> Address:
    """The MLflow that a study's registered model is looked up at: `$MLFLOW_TRACKING_URI`, else
    where the study itself is tracked, else the home's own store."""
    named = os.environ.get("MLFLOW_TRACKING_URI")
    found = Address(named) if named else tracked_at(name, home)
    return found or address_of(TrackingSettings(), home) or Address(home.tracking_uri)


def tracked_at(name: str, home: Home) -> Address | None:
    """Where a study is tracked; `None`: nowhere, or it is not known here.

    Raises:
        InputError: its spec is damaged.
    """
    spec = find_spec(home.study(name))
    return None if spec is None else address_of(spec.file.tracking, home)


def _registered(name: str, alias: str, home: Home, uri: str | None) -> Bundle:
    from hpo.track.registry import Registry

    at = Address(uri) if uri else registry_of(name, home)
    registry = Registry(at.uri, at.login)
    version = registry.holder(name, alias)
    if version is None:
        raise InputError(
            f"the model registry has no {name}@{alias}",
            f"promote the study: hpo promote {name} --alias {alias}; if that was done elsewhere,"
            " set MLFLOW_TRACKING_URI to the address of the MLflow there",
        )
    return registry.fetch(version, home.bundles)
