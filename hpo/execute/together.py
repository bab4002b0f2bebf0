"""Trials on one worker: each alone, or several together."""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import ExitStack

from hpo.execute.channel import Channel, ChannelLost
from hpo.execute.execution import RAISED, Execution, complete, is_out_of_memory, stopped
from hpo.execute.setup import Setup
from hpo.records import Decision, TrialSpec
from hpo.space import typed
from hpo.trainable import Member, Pack, Progressed, Trainable, Trial, check_report

log = logging.getLogger(__name__)


class Rooms:
    """How many trials of each fusion key train together on this worker."""

    def __init__(self, setup: Setup, trainable: Trainable) -> None:
        self._setup = setup
        self._trainable = trainable
        self._rooms: dict[str, int] = {}

    def of(self, spec: TrialSpec) -> int:
        """For a trial and those of its fusion key; 1 if it trains alone."""
        key = self._key(spec)
        if key is None:
            return 1
        if key not in self._rooms:
            self._rooms[key] = self._measured(spec)
        return self._rooms[key]

    def lower(self, spec: TrialSpec, lanes: int) -> None:
        """So many were too many."""
        key = self._key(spec)
        assert key is not None
        self._rooms[key] = max(1, lanes // 2)

    def _key(self, spec: TrialSpec) -> str | None:
        if self._setup.pack == "off" or spec.refit is not None:
            return None
        try:
            return self._trainable.fusion_key(self._config(spec))
        except RAISED:  # alone it will say why, and to whom that belongs
            return None

    def _measured(self, spec: TrialSpec) -> int:
        pack, setup = self._setup.pack, self._setup
        try:
            if why := self._trainable.why_alone(self._config(spec), setup.folder):
                log.warning("trials as trial %d train alone: %s", spec.number, why)
                return 1
            if isinstance(pack, int):
                return pack
            return self._trainable.room(self._config(spec), setup.folder, setup.device_share)
        except RAISED:
            return 1

    def _config(self, spec: TrialSpec) -> object:
        return typed(self._trainable.config_type, dict(spec.config))


class Together:
    """Brings trials to their outcomes.

    Args:
        held: what the worker holds, kept up to date.
    """

    def __init__(
        self,
        setup: Setup,
        trainable: Trainable,
        channel: Channel,
        worker: str,
        held: MutableMapping[int, TrialSpec],
    ) -> None:
        self.setup = setup
        self.trainable = trainable
        self.channel = channel
        self.worker = worker
        self.held = held
        self._rooms = Rooms(setup, trainable)
        self._groups: list[list[TrialSpec]] = []

    def run(self, spec: TrialSpec) -> None:
        """Runs a trial that is held, with those that can train together with it.

        Returns when all are ended or paused, those that joined them on the way, too. What a pack
        raises is no outcome, since nobody knows whose fault it is: its members go on from what they
        have saved, in packs of half the size where memory was short, else each alone.

        Raises:
            ChannelLost: the coordinator did not answer: the trials run again.
            StoreLost: the same for the store for checkpoints.
        """
        room = self._rooms.of(spec)
        self._groups = [[spec, *(self.more(spec.number, room - 1) if room > 1 else ())]]
        while self._groups:
            group = self._groups.pop()
            if len(group) > 1:
                left, size = self._attempt(group)
                self._groups += [left[i : i + size] for i in range(0, len(left), size)]
            else:
                self._alone(*group)

    def _alone(self, spec: TrialSpec) -> None:
        with Execution(self.setup, self.trainable, spec, self.channel) as execution:
            execution.end(execution.run())
        del self.held[spec.number]

    def more(self, number: int, room: int) -> list[TrialSpec]:
        """Trials that can train with one that is held, unless some of this worker's own wait."""
        if self._groups:
            return []
        try:
            specs = self.channel.more(self.worker, number, room)
        except Exception as error:
            raise ChannelLost from error
        self.held.update({spec.number: spec for spec in specs})
        return specs

    def _attempt(self, specs: Sequence[TrialSpec]) -> tuple[list[TrialSpec], int]:
        """Runs a pack; what is left of it, and how many of that are to be tried together next."""
        with ExitStack() as opened:
            pack = _Pack(self, opened, specs, max(len(specs), self._rooms.of(specs[0])))
            try:
                self.trainable.run_many(pack)
            except RAISED as error:
                left = pack.left
                if not is_out_of_memory(error):
                    return left, 1
                self._rooms.lower(specs[0], len(left))
                return left, max(1, len(left) // 2)
            return pack.left, 1


class _Pack(Pack):
    """Trials that are at work together.

    Args:
        opened: closes the checkpoint folders of those that have not ended.
    """

    def __init__(
        self, together: Together, opened: ExitStack, specs: Sequence[TrialSpec], width: int
    ) -> None:
        self._together = together
        self._opened = opened
        self._executions: dict[int, Execution] = {}
        self.width = width
        self.members = [self._open(spec) for spec in specs]

    @property
    def left(self) -> list[TrialSpec]:
        """Members that have not ended."""
        return [execution.spec for execution in self._executions.values()]

    def report(self, progressed: Sequence[Progressed]) -> list[Decision]:
        reports = []
        for trial, metrics, step in progressed:
            spec = self._executions[trial.number].spec
            reports.append((spec.number, spec.lease, check_report(metrics, step)))
        try:
            decisions = self._together.channel.report_all(reports)
        except Exception as error:
            raise ChannelLost from error
        for (trial, _, _), decision in zip(progressed, decisions, strict=True):
            self._executions[trial.number].decided(decision)
        return decisions

    def end(self, trial: Trial, result: Mapping[str, float] | None = None) -> None:
        execution = self._executions[trial.number]
        with execution:
            told = trial.stopped
            execution.end(complete(result) if told is None else stopped(told))
        del self._executions[trial.number], self._together.held[trial.number]

    def more(self, room: int) -> Sequence[Member]:
        if not self._executions:  # whoever asks anew gets any trial, not only one that fits
            return []
        number = next(iter(self._executions))
        return [self._open(spec) for spec in self._together.more(number, room)]

    def _open(self, spec: TrialSpec) -> Member:
        together = self._together
        execution = Execution(together.setup, together.trainable, spec, together.channel)
        self._opened.enter_context(execution)
        self._executions[spec.number] = execution
        return Member(execution.config, execution.trial)
