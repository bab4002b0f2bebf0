"""Trials on one worker: each alone, or several together."""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from hpo.checkpoints import StoreLost
from hpo.execute.channel import Channel, ChannelLost
from hpo.execute.execution import (
    RAISED,
    Execution,
    complete,
    failed,
    is_out_of_memory,
    stopped,
)
from hpo.execute.setup import Setup
from hpo.records import Decision, Outcome, TrialSpec
from hpo.space import typed
from hpo.trainable import (
    Member,
    Pack,
    Progressed,
    Trainable,
    Trial,
    check_report,
    fusion_key,
)

log = logging.getLogger(__name__)


class Room(NamedTuple):
    """How many trials of a fusion key train together: at most, and from how many on that pays."""

    most: int
    fewest: int = 1


ALONE = Room(most=1)


class Rooms:
    """How many trials of each fusion key train together on this worker."""

    def __init__(self, setup: Setup, trainable: Trainable) -> None:
        self._setup = setup
        self._trainable = trainable
        self._rooms: dict[str, Room] = {}

    def of(self, spec: TrialSpec) -> Room:
        """For a trial and those of its fusion key."""
        key = self._key(spec)
        if key is None or self._setup.pack == "off":
            return ALONE
        if key not in self._rooms:
            self._rooms[key] = self._measured(spec)
        room = self._rooms[key]
        return room if room.most >= room.fewest else ALONE

    def lower(self, spec: TrialSpec, lanes: int) -> None:
        """So many were too many."""
        key = self._key(spec)
        assert key is not None
        self._rooms[key] = self._rooms[key]._replace(most=max(1, lanes // 2))

    def _key(self, spec: TrialSpec) -> str | None:
        return fusion_key(self._trainable, spec.config, spec.refit)

    def _measured(self, spec: TrialSpec) -> Room:
        pack, setup = self._setup.pack, self._setup
        config = typed(self._trainable.config_type, dict(spec.config))
        try:
            if why := self._trainable.why_alone(config, setup.folder):
                log.warning("trials as trial %d train alone: %s", spec.number, why)
                return ALONE
            if isinstance(pack, int):
                return Room(pack)
            most = self._trainable.room(config, setup.folder, setup.device_share)
            return Room(most, self._trainable.fewest(config))
        except RAISED as error:  # alone it will say why, and to whom that belongs
            log.warning("trials as trial %d train alone: %s", spec.number, error)
            return ALONE


class Together:
    """Brings trials to their outcomes.

    Args:
        held: trials that are at work on this worker, kept up to date.
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

    def run(self, spec: TrialSpec) -> None:
        """Runs a trial that is held, with those that can train together with it.

        Returns when all are ended or paused, those that joined them on the way, too. What a pack
        raises is no outcome, since nobody knows whose fault it is: its members go back, and go on
        from what they have saved, in packs of half the size where memory was short, else alone.

        Raises:
            ChannelLost: the coordinator did not answer: the trials run again.
            StoreLost: the same for the store for checkpoints.
        """
        room = self._rooms.of(spec)
        others = self.more(room.most - 1, room.fewest - 1) if room.most > 1 else []
        if not others:
            with Execution(self.setup, self.trainable, spec, self.channel) as execution:
                execution.end(execution.run())
        else:
            self._together([spec, *others], room.most)
        self.held.clear()

    def more(self, room: int, fewest: int = 0) -> list[TrialSpec]:
        """Trials that can train with those that are held; none if there are not even `fewest`."""
        try:
            specs = self.channel.more(self.worker, list(self.held), room, fewest)
        except Exception as error:
            raise ChannelLost from error
        self.held.update({spec.number: spec for spec in specs})
        return specs

    def _together(self, specs: Sequence[TrialSpec], room: int) -> None:
        with ExitStack() as opened:
            pack = _Pack(self, opened, specs, room)
            try:
                self.trainable.run_many(pack)
                return
            except StoreLost:
                raise
            except RAISED as error:
                short, why = is_out_of_memory(error), error
                log.warning(
                    "%d trials that train together go on %s",
                    len(pack.left),
                    "in smaller packs" if short else "alone",
                    exc_info=why,
                )
            left = pack.left
        if short:
            self._rooms.lower(specs[0], len(left))
        try:
            self.channel.give_back(self.worker, left, alone=not short)
        except Exception as error:
            raise ChannelLost from error


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
    def left(self) -> list[int]:
        """Members that have not ended."""
        return list(self._executions)

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
        told = trial.stopped
        self._end(trial, complete(result) if told is None else stopped(told))

    def fail(self, trial: Trial, error: Exception) -> None:
        self._end(trial, failed(error))

    def more(self, room: int) -> Sequence[Member]:
        if not self._executions:  # whoever asks anew gets any trial, not only one that fits
            return []
        return [self._open(spec) for spec in self._together.more(room)]

    def _end(self, trial: Trial, outcome: Outcome | None) -> None:
        with self._executions[trial.number] as execution:
            execution.end(outcome)
        del self._executions[trial.number], self._together.held[trial.number]

    def _open(self, spec: TrialSpec) -> Member:
        together = self._together
        execution = Execution(together.setup, together.trainable, spec, together.channel)
        self._opened.enter_context(execution)
        self._executions[spec.number] = execution
        return Member(execution.config, execution.trial)
