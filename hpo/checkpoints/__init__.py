"""Where trials keep what they need to go on, and what the complete ones leave: their checkpoints.

A trainable always sees a local folder. By default that is the place itself, in the study's folder;
with a storage URI it is a scratch folder on whatever node the trial runs on, filled from the store
before the trial begins and saved there while it runs.
"""

from __future__ import annotations

from hpo.checkpoints.base import Checkpoints, Saved, Store, StoreLost, Working
from hpo.checkpoints.in_place import InPlace
from hpo.checkpoints.place import DEFAULT, place_mistake
from hpo.checkpoints.stored import Stored
from hpo.home import StudyFolder

__all__ = [
    "DEFAULT",
    "Checkpoints",
    "Saved",
    "Store",
    "StoreLost",
    "Working",
    "open_checkpoints",
    "place_mistake",
]


def open_checkpoints(place: str, folder: StudyFolder, study_id: str) -> Checkpoints:
    """The checkpoints of one stage of a study. Nothing is asked of the store.

    Args:
        place: "default", or the URI of a store, or a folder that all nodes share.
        folder: the stage's, on the machine that has the record.
        study_id: what the stage is called in a store; different for any two.
    """
    if place == DEFAULT:
        return InPlace(folder)
    return Stored(f"{place.rstrip('/')}/{study_id}", folder)
