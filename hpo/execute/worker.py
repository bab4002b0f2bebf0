"""A worker: pulls trials and runs them until none are left. The same in every kind of execution."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

from hpo.checkpoints import StoreLost
from hpo.execute import memory, output
from hpo.execute.channel import Channel
from hpo.execute.periodically import periodically
from hpo.execute.setup import Setup
from hpo.execute.together import Together
from hpo.records import Outcome, State, TrialSpec
from hpo.trainable import Trainable

STORE_LOOK_S = 10.0
"""Between two looks of a worker that waits for the store."""


def work(setup: Setup, trainable: Trainable, channel: Channel, worker: str) -> None:
    """Runs trials until none are left, or just one in an isolated worker; or packs of them."""
    held: dict[int, TrialSpec] = {}
    together = Together(setup, trainable, channel, worker, held)
    with _heartbeat(setup, channel, worker, held), _memory(setup, channel, worker, held):
        while spec := channel.next_trial(worker):
            held[spec.number] = spec
            try:
                with _output(setup, spec, held, channel):
                    together.run(spec)
            except StoreLost as lost:
                held.clear()
                _wait_for_store(setup, channel, worker, lost)
            if setup.isolate:
                return


def _wait_for_store(setup: Setup, channel: Channel, worker: str, lost: StoreLost) -> None:
    """Returns when the store can be used from here again, or nothing is left to do with it.

    A worker that ended instead would be replaced by another on the same node, over and over.
    """
    store = setup.checkpoints.store
    assert store is not None, "what is in the study's folder does not get lost"
    while channel.store_lost(worker, lost):
        time.sleep(STORE_LOOK_S)
        try:
            store.check()
        except StoreLost as still:
            lost = still
        else:
            return


@contextmanager
def _heartbeat(
    setup: Setup, channel: Channel, worker: str, held: Mapping[int, TrialSpec]
) -> Iterator[None]:
    """Gives signs of life, with the trials that the worker holds: a step may take long."""

    def beat() -> None:
        channel.alive(worker, [(spec.number, spec.lease) for spec in list(held.values())])

    with periodically(beat, setup.heartbeat_seconds):
        yield


@contextmanager
def _memory(
    setup: Setup, channel: Channel, worker: str, held: Mapping[int, TrialSpec]
) -> Iterator[None]:
    """Ends the trial and this process when the machine's memory is full and this one has most.

    Trials that train together go on in packs of half the size.
    """

    def look() -> None:
        specs, share = list(held.values()), memory.share_in_use()
        if not specs or share < setup.memory_limit or not memory.is_largest():
            return
        if len(specs) > 1:
            channel.too_wide(worker, len(specs))
            os._exit(1)
        (spec,) = specs
        reason = (
            f"{share:.0%} of the machine's memory were in use, most of it by this trial's worker"
        )
        channel.finish(spec.number, spec.lease, Outcome(State.OUT_OF_MEMORY, {}, reason))
        if spec.number in held:
            os._exit(1)

    with periodically(look, memory.LOOK_SECONDS if setup.memory_limit < 1 else None):
        yield


def _output(
    setup: Setup, spec: TrialSpec, held: Mapping[int, TrialSpec], channel: Channel
) -> AbstractContextManager[None]:
    """Has what the trial, or a pack that it is the first of, prints kept in its folder.

    What is sent there from another node counts only for a trial that has not ended: in a pack, for
    whichever is still at work.
    """

    def send(said: bytes) -> None:
        speaker = next(iter(list(held.values())), spec)
        channel.said(speaker.number, speaker.lease, said)

    if not setup.capture:
        return nullcontext()
    if setup.sees_study:
        return output.to_file(setup.study.output(spec.number))
    return output.sent(send)
