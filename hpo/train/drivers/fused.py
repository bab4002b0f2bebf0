"""Runs several trials as one tensor program: read `run_many` first."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from hpo.lazy import lazy
from hpo.records import Decision
from hpo.train.drivers.passes import Eager, Graphed
from hpo.train.drivers.stack import CHUNK, Epoch, Program, Stack, join, pile
from hpo.train.epochs import Epochs
from hpo.train.evaluation import as_metrics
from hpo.train.lanes import knobs
from hpo.train.noise import step_keys
from hpo.train.order import orders
from hpo.train.precision import arithmetic
from hpo.train.problem import Problem, alike, assemble
from hpo.train.progress import Kept, Progress, TrialFiles
from hpo.train.timetable import Timetable
from hpo.trainable import Member, Pack, Progressed, Trial

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

REFILL = 4
"""Trials are asked for when one of so many lanes is free: asking for each alone costs more."""


def run_many(pack: Pack) -> None:
    """Trains the members of a pack, and those that take the place of members that have ended.

    After every epoch each member reports. One that is done, pruned or stopped leaves the stack;
    that its numbers are no longer finite harms no other. Each is saved as if it trained alone, and
    goes on alone or in another pack just as well.
    """
    (config, trial), *_ = pack.members
    problem = assemble(config, trial.folder, trial.refit)
    with arithmetic(problem.config.precision):
        training = Training(problem, pack)
        training.join(pack.members)
        while training.lanes:
            training.epoch()
            free = pack.width - len(training.lanes)
            if free and free >= pack.width // REFILL:
                training.join(pack.more(free))


class Lane:
    """One trial in a stack: all of it that is not a tensor.

    Args:
        problem: the trial's own.
    """

    def __init__(self, problem: Problem, trial: Trial) -> None:
        self.problem = problem
        self.trial = trial
        self.files = TrialFiles(trial.checkpoint_dir, problem, trial.seed)
        self.epoch = 0
        self.metrics: Mapping[str, float] = {}
        self._kept_epoch = 0
        self._kept_metrics: Mapping[str, float] = {}
        self._saved = time.monotonic()
        self._timetable = Timetable.of(problem.config, len(problem.splits.train))
        self._epochs = Epochs(problem, self._timetable)
        self._keys = step_keys(trial.seed, torch.arange(len(self._timetable.rates)))

    @property
    def done(self) -> bool:
        return self._epochs.are_over(self.epoch, self._kept_epoch)

    @property
    def batch_size(self) -> int:
        """Of the epoch that comes next."""
        return self._timetable.batch_sizes[self.epoch]

    @property
    def steps(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Number, learning rate and key of the noise of each step in that epoch, all [S]."""
        steps = self._timetable.steps(self.epoch)
        numbers = torch.arange(steps.start, steps.stop)
        return numbers, self._timetable.rates[steps], self._keys[steps]

    @property
    def is_due(self) -> bool:
        """Whether it is time to save it."""
        return time.monotonic() - self._saved >= self.problem.config.checkpoint_seconds

    def resume(self, progress: Progress) -> None:
        """Takes it to where it stood when it was saved."""
        assert progress.kept is not None
        self.epoch, self.metrics = progress.epoch, progress.metrics
        self._kept_epoch, self._kept_metrics = progress.kept.epoch, progress.kept.metrics

    def reached(self, metrics: Mapping[str, float]) -> bool:
        """Notes what one more epoch led to; whether its weights are those to keep."""
        self.epoch, self.metrics = self.epoch + 1, metrics
        kept = self._kept_epoch, self._kept_metrics
        keep = self._epochs.keeps(self.epoch, metrics, *kept)
        if keep:
            self._kept_epoch, self._kept_metrics = self.epoch, metrics
        return keep

    def save(self, own: Stack) -> None:
        self.files.save(self._progress(own))
        self._saved = time.monotonic()

    def finish(self, own: Stack) -> dict[str, float]:
        """Leaves the kept weights; the trial's result."""
        progress = self._progress(own)
        self.files.finish(progress)
        return progress.result()

    def _progress(self, own: Stack) -> Progress:
        """Where it stands, as a trial alone has it.

        Args:
            own: its tensors, without the axis of lanes.
        """
        kept = Kept(own.kept, own.kept_state, self._kept_epoch, self._kept_metrics)
        return Progress(self.epoch, own.params, own.state, self.metrics, kept)


class Training:
    """The epochs of all trials in a stack.

    Args:
        problem: of any of them.
        pack: that they belong to.
    """

    def __init__(self, problem: Problem, pack: Pack) -> None:
        self.lanes: list[Lane] = []
        self._pack = pack
        self._problem = problem
        self._program = Program(problem)
        train = problem.rows(problem.splits.train)
        validation = None if problem.refit else problem.rows(problem.splits.validation)
        graphed = problem.device.type == "cuda" and problem.config.cuda_graphs
        self._passes = (Graphed if graphed else Eager)(self._program, train, validation)
        self._rows = torch.arange(len(train.x), device=problem.device)
        self._like = torch.empty(0, dtype=problem.dtype, device=problem.device)
        self._stack: Stack | None = None

    def join(self, members: Sequence[Member]) -> None:
        """Puts trials on the stack, each where its checkpoint stands."""
        resumed = []
        for config, trial in members:
            lane = Lane(alike(config, self._problem), trial)
            if finished := lane.files.finished():
                epoch, metrics, result = finished
                self._pack.report([Progressed(trial, metrics, epoch)])
                self._pack.end(trial, result)
                continue
            own = pile([self._open(lane)])
            self._stack = own if self._stack is None else join([self._stack, own])
            self.lanes.append(lane)
            if lane.epoch > 0:
                resumed.append(lane)
        if resumed:
            self._report(resumed)

    def epoch(self) -> None:
        """Every trial trains for an epoch, reports, and leaves if that was its last one."""
        sizes: dict[int, list[int]] = {}
        for k, lane in enumerate(self.lanes):
            sizes.setdefault(lane.batch_size, []).append(k)
        assert self._stack is not None
        stacks, lanes = [], []
        for size, group in sizes.items():
            own = [self.lanes[k] for k in group]
            if len(sizes) == 1:
                stacks.append(self._pass(own, self._stack, size))
            else:  # what comes back may be overwritten by the next pass
                stacks.append(self._pass(own, self._stack.select(group), size).copy())
            lanes += own
        self.lanes, self._stack = lanes, join(stacks)
        if due := [lane for lane in self.lanes if lane.is_due]:
            self._save(due)
        self._report(self.lanes)

    def _open(self, lane: Lane) -> Stack:
        """A trial's tensors, without the axis of lanes."""
        config, problem = lane.problem.config, lane.problem
        values = {path: self._like.new_tensor(value) for path, value in knobs(config).items()}
        progress = lane.files.resume()
        if progress is None:
            return self._program.start(problem.initial_params(lane.trial.seed), values)
        assert progress.kept is not None
        lane.resume(progress)
        kept = progress.kept
        return Stack(progress.params, progress.state, kept.params, kept.state, values)

    def _pass(self, lanes: Sequence[Lane], stack: Stack, batch_size: int) -> Stack:
        """An epoch of lanes that have one batch size."""
        t, rates, keys = (
            torch.stack(column).to(self._like.device)
            for column in zip(*(lane.steps for lane in lanes), strict=True)
        )
        order = orders(
            [lane.trial.seed for lane in lanes], [lane.epoch for lane in lanes], self._rows
        )
        epoch = Epoch(order, t.to(self._like.dtype), rates.to(self._like.dtype), keys, batch_size)
        stack, losses = self._passes.epoch(stack, epoch)
        shown, totals = self._passes.evaluate(stack, CHUNK * batch_size)
        # The one place where the host waits for the device: once an epoch, not once a step.
        reached = [{"train_loss": loss / len(self._rows)} for loss in losses.tolist()]
        if totals is not None:
            rows = len(self._problem.splits.validation)
            for metrics, own in zip(reached, totals.tolist(), strict=True):
                scores = as_metrics(self._problem, own, rows)
                metrics |= {f"val_{name}": value for name, value in scores.items()}
        keep = [lane.reached(metrics) for lane, metrics in zip(lanes, reached, strict=True)]
        kept = torch.tensor(keep, device=shown.device)
        return stack._replace(
            kept=_where(kept, shown, stack.kept),
            kept_state={
                name: _where(kept, stack.state["model"][name], old)
                for name, old in stack.kept_state.items()
            },
        )

    def _report(self, lanes: Sequence[Lane]) -> None:
        """Hands in where trials stand; those that are to end leave the stack."""
        assert self._stack is not None
        decisions = self._pack.report(
            [Progressed(lane.trial, lane.metrics, lane.epoch) for lane in lanes]
        )
        told = list(zip(lanes, decisions, strict=True))
        self._save([lane for lane, decision in told if decision is Decision.PAUSE])
        ended = {lane for lane, decision in told if decision is not Decision.GO_ON}
        done = [lane for lane in lanes if lane.done and lane not in ended]
        for lane, own in self._own(done):
            self._pack.end(lane.trial, lane.finish(own))
        for lane in ended:
            self._pack.end(lane.trial)
        left = [k for k, lane in enumerate(self.lanes) if lane not in ended and lane not in done]
        if len(left) < len(self.lanes):
            self.lanes = [self.lanes[k] for k in left]
            self._stack = self._stack.select(left) if left else None

    def _save(self, lanes: Sequence[Lane]) -> None:
        for lane, own in self._own(lanes):
            lane.save(own)

    def _own(self, lanes: Sequence[Lane]) -> Iterator[tuple[Lane, Stack]]:
        """Lanes with their own tensors, on the CPU, all brought there at once."""
        if not lanes:
            return
        assert self._stack is not None
        index = {lane: k for k, lane in enumerate(self.lanes)}
        here = self._stack.select([index[lane] for lane in lanes]).to("cpu")
        for k, lane in enumerate(lanes):
            yield lane, here.lane(k)


def _where(lanes: torch.Tensor, new: torch.Tensor, old: torch.Tensor) -> torch.Tensor:
    """The new values of some lanes, bool [K], and the old ones of the others; [K, ...]."""
    return torch.where(lanes.view(-1, *[1] * (new.dim() - 1)), new, old)
