"""A trainable for tests whose trials train together, and go wrong on request."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field

import hpo
from hpo.records import Decision
from hpo.trainable import Pack, Progressed

STEPS = 4


class Config(BaseModel):
    x: float = Field(0.5, ge=0, le=1)
    group: int = 0
    fewest: int = 1
    mode: Literal["good", "raise", "nan", "crowd", "die_once"] = "good"
    log: str = ""


class Fusing(hpo.Trainable):
    """Falls towards x in `STEPS` steps; notes who trains beside whom."""

    config_type = Config

    def fusion_key(self, config: Config) -> str:
        return f"{config.group}"

    def room(self, config: Config, folder: Path, share: float) -> int:
        return 6

    def fewest(self, config: Config) -> int:
        return config.fewest

    def run(self, config: Config, trial: hpo.Trial) -> Mapping[str, float]:
        note(config, [trial.number], "alone")
        if config.mode == "raise":
            raise ValueError("a bad day")
        for step in range(self._done(trial) + 1, STEPS + 1):
            self._save(trial, step)
            trial.report({"loss": loss(config, step)}, step=step)
        return {"loss": loss(config, STEPS)}

    def run_many(self, pack: Pack) -> None:
        lanes: dict[int, Any] = {}
        joining = list(pack.members)
        while joining or lanes:
            lanes |= {member.trial.number: member for member in joining}
            steps = {n: self._done(member.trial) + 1 for n, member in lanes.items()}
            self._misbehave(list(lanes.values()))
            for number, member in lanes.items():
                self._save(member.trial, steps[number])
            decisions = pack.report(
                [
                    Progressed(member.trial, {"loss": loss(member.config, steps[n])}, steps[n])
                    for n, member in lanes.items()
                ]
            )
            for (number, member), decision in zip(list(lanes.items()), decisions, strict=True):
                if decision is not Decision.GO_ON:
                    pack.end(member.trial)
                elif steps[number] == STEPS:
                    pack.end(member.trial, {"loss": loss(member.config, STEPS)})
                else:
                    continue
                del lanes[number]
            joining = list(pack.more(pack.width - len(lanes)))

    def _misbehave(self, members: list[Any]) -> None:
        numbers = [member.trial.number for member in members]
        note(members[0].config, numbers, "together")
        modes = {member.config.mode for member in members}
        if "raise" in modes:
            raise ValueError("one of us")
        if "crowd" in modes and len(members) > 2:
            raise MemoryError("no room")
        once = Path(f"{members[0].config.log}.died")
        if "die_once" in modes and not once.exists():
            once.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def _done(self, trial: hpo.Trial) -> int:
        path = trial.checkpoint_dir / "step"
        return int(path.read_text()) if path.exists() else 0

    def _save(self, trial: hpo.Trial, step: int) -> None:
        (trial.checkpoint_dir / "step").write_text(str(step))


def loss(config: Config, step: int) -> float:
    return float("nan") if config.mode == "nan" and step > 1 else config.x + 1 / step


def note(config: Config, numbers: list[int], how: str) -> None:
    if config.log:
        with Path(config.log).open("a") as log:
            log.write(json.dumps([how, numbers]) + "\n")


train = Fusing()
