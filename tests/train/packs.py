"""A pack without a coordinator: what its members report is kept, and each may be told to stop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hpo.records import Decision, TrialSpec
from hpo.train.config import TrainConfig
from hpo.trainable import Member, Pack, Progressed, Trial


@dataclass
class TestPack(Pack):
    """
    Args:
        stop: decisions other than to go on, by (number, step).
        waiting: members for whoever asks for more.
    """

    __test__ = False

    members: Sequence[Member]
    width: int
    stop: dict[tuple[int, int], Decision] = field(default_factory=dict)
    waiting: list[Member] = field(default_factory=list)
    reports: dict[int, list[Progressed]] = field(default_factory=dict)
    ended: dict[int, Mapping[str, float] | None] = field(default_factory=dict)
    widths: list[int] = field(default_factory=list)
    failed: dict[int, Exception] = field(default_factory=dict)
    given: set[int] = field(default_factory=set)

    def report(self, progressed: Sequence[Progressed]) -> list[Decision]:
        self.widths.append(len(progressed))
        for each in progressed:
            self.reports.setdefault(each.trial.number, []).append(each)
        return [
            self.stop.get((each.trial.number, each.step), Decision.GO_ON) for each in progressed
        ]

    def end(self, trial: Trial, result: Mapping[str, float] | None = None) -> None:
        assert trial.number not in self.ended, "a trial ends once"
        self.ended[trial.number] = result

    def fail(self, trial: Trial, error: Exception) -> None:
        self.end(trial)
        self.failed[trial.number] = error

    def more(self, room: int) -> Sequence[Member]:
        if len(self.ended) == len({m.trial.number for m in self.members} | self.given):
            return []  # as a worker's pack: whoever asks anew gets any trial
        given, self.waiting = self.waiting[:room], self.waiting[room:]
        self.given |= {member.trial.number for member in given}
        return given


def member(folder: Path, number: int, config: TrainConfig, seed: int | None = None) -> Member:
    """A trial whose checkpoints are in a folder of its own."""

    def report(_: object) -> Decision:
        raise AssertionError("members report through their pack")

    spec = TrialSpec(number, {}, number if seed is None else seed, "lease")
    return Member(config, Trial(spec, folder, folder / f"{number}", report))


def pack(members: Sequence[Member], **arguments: object) -> TestPack:
    return TestPack(members, arguments.pop("width", len(members)), **arguments)  # type: ignore[arg-type]
