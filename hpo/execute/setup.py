"""What every worker of a study must know."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hpo.checkpoints import Checkpoints
from hpo.home import StudyFolder


@dataclass(frozen=True, slots=True)
class Setup:
    """What every worker of a study must know.

    Args:
        trainable: as the study file names it.
        folder: of the study file.
        study: the study's folder, on the machine that has the record.
        checkpoints: what its trials have saved.
        sees_study: whether this worker is on that machine.
        pack: how many trials train together where the trainable can do that: a number, "auto" for
            what fits, "off" for each alone.
        device_share: of the device that is a worker's, in (0, 1].
        isolate: one trial or pack a process.
        capture: what a trial prints goes to a file in its folder; for processes without a terminal.
        heartbeat_seconds: between two signs of life; `None` where there is nobody to watch.
        memory_limit: share of the machine's memory at which the largest worker ends; 1: never.
    """

    trainable: str
    folder: Path
    study: StudyFolder
    checkpoints: Checkpoints
    sees_study: bool = True
    pack: int | Literal["auto", "off"] = "off"
    device_share: float = 1.0
    isolate: bool = False
    capture: bool = False
    heartbeat_seconds: float | None = None
    memory_limit: float = 1.0
