"""Which data a study is about: digests of its rows, written down before its first trial."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hpo.errors import HpoError, InputError
from hpo.files import write_atomically
from hpo.home import StudyFolder
from hpo.studyfile import Study
from hpo.trainable import Trainable

log = logging.getLogger(__name__)


def fingerprint(study: Study, configs: Iterable[Any]) -> dict[str, str]:
    """Digests by name on which all of these configs agree; of data that is searched, none.

    Raises:
        InputError: the trainable cannot take the digests.
    """
    shared: dict[str, str] | None = None
    for config in configs:
        of_one = digests(study.trainable, config, study.folder)
        agreed = of_one.items() if shared is None else of_one.items() & shared.items()
        shared = {name: digest for name, digest in of_one.items() if (name, digest) in agreed}
    return shared or {}


def digests(trainable: Trainable, config: Any, folder: Path) -> dict[str, str]:
    """Digests by name of the data that a config sees.

    Args:
        folder: that relative paths in the config count from.

    Raises:
        InputError: the trainable cannot take them.
    """
    try:
        found = dict(trainable.fingerprint(config, folder))
    except HpoError:
        raise
    except Exception as error:
        raise InputError(
            f"the trainable's method fingerprint failed: {type(error).__name__}: {error}",
            "mend it, or leave the method out: without it a study tells nothing of its data",
        ) from error
    if odd := [item for item in found.items() if not all(isinstance(x, str) for x in item)]:
        raise InputError(
            f"the trainable's method fingerprint gives texts by name, got {odd[0]!r}",
            "give each digest as text, such as hashlib.sha256(...).hexdigest()",
        )
    return found


def write_down(found: Mapping[str, str], folder: StudyFolder) -> None:
    """Keeps the digests with the study, and says so where its data has changed meanwhile."""
    before = read(folder)
    if changed := sorted(name for name in before if before[name] != found.get(name)):
        log.warning(
            "the data is not what it was when the study last ran (%s): values of trials from before"
            " and after are of different rows",
            ", ".join(changed),
        )
    write_atomically(folder.data, json.dumps(dict(found), indent=1))


def read(folder: StudyFolder) -> dict[str, str]:
    """The digests that were written down last; empty where there are none, or the file is damaged:
    the next run writes it anew."""
    try:
        found = json.loads(folder.data.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
