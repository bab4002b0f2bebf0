"""Runs several trials as one tensor program: read `run_many` first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from hpo.errors import HpoError
from hpo.lazy import lazy
from hpo.records import Decision
from hpo.train.config import TrainConfig
from hpo.train.drivers.lane import Lane
from hpo.train.drivers.passes import Eager, Graphed
from hpo.train.drivers.seeds import Seeds
from hpo.train.drivers.stack import CHUNK, Epoch, Program, Stack, join, pile
from hpo.train.ensemble import evaluate_together
from hpo.train.evaluation import as_metrics
from hpo.train.lanes import tensors
from hpo.train.normalizations import ModelState
from hpo.train.order import bootstraps, orders
from hpo.train.precision import arithmetic
from hpo.train.problem import Problem, alike, assemble
from hpo.trainable import Member, Pack, Progressed, Trial, TrialStopped

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

REFILL = 4
"""Trials are asked for once a quarter of the lanes is free: asking for each alone costs more."""

WAITS = 0
"""In place of a batch size: of lanes that wait for others of their trial."""


def run_many(pack: Pack) -> None:
    """Trains the members of a pack, and those that take the place of members that have ended.

    After every epoch each member reports. One that is done, pruned or stopped leaves the stack;
    that its numbers are no longer finite harms no other. Each is saved as if it trained alone, and
    goes on alone or in another pack just as well. A member with several seeds has as many lanes,
    and reports their means.
    """
    (config, trial), *_ = pack.members
    problem = assemble(config, trial.folder, trial.refit)
    with arithmetic(problem.config.precision):
        training = Training(problem, pack)
        training.join(pack.members)
        while training.trials:
            training.epoch()
            free = pack.width - len(training.trials)
            if free and free >= pack.width // REFILL:
                training.join(pack.more(free))


def run_repeats(config: TrainConfig, trial: Trial) -> Mapping[str, float]:
    """Trains one trial with all of its seeds together; see `drivers.single.run`."""
    pack = _Alone(config, trial)
    run_many(pack)
    if trial.stopped is not None:
        raise TrialStopped(trial.stopped)
    assert pack.result is not None
    return pack.result


class _Alone(Pack):
    """A pack of one trial, which reports for itself."""

    def __init__(self, config: TrainConfig, trial: Trial) -> None:
        self.members = [Member(config, trial)]
        self.width = 1
        self.result: Mapping[str, float] | None = None

    def report(self, progressed: Sequence[Progressed]) -> list[Decision]:
        ((trial, metrics, step),) = progressed
        try:
            trial.report(metrics, step)
        except TrialStopped as stopped:
            return [stopped.decision]
        return [Decision.GO_ON]

    def end(self, trial: Trial, result: Mapping[str, float] | None = None) -> None:
        self.result = result

    def fail(self, trial: Trial, error: Exception) -> None:
        raise error

    def more(self, room: int) -> Sequence[Member]:
        return []


class Training:
    """The epochs of all trials in a stack.

    Args:
        problem: of any of them.
        pack: that they belong to.
    """

    def __init__(self, problem: Problem, pack: Pack) -> None:
        self.trials: list[Seeds] = []
        self._pack = pack
        self._problem = problem
        self._program = Program(problem)
        train = problem.rows(problem.splits.train)
        validation = None if problem.refit else problem.rows(problem.splits.validation)
        self._validation = validation
        # A graph copies nothing to the device.
        there = train.are_there and (validation is None or validation.are_there)
        graphed = problem.device.type == "cuda" and problem.config.cuda_graphs and there
        self._passes = (Graphed if graphed else Eager)(self._program, train, validation)
        self._rows = torch.arange(len(train), device=problem.device)
        self._like = problem.like
        self._lanes: list[Lane] = []  # in the order of the stack
        self._stack: Stack | None = None

    def join(self, members: Sequence[Member]) -> None:
        """Puts trials on the stack, each where its checkpoint stands."""
        joined, stacks = [], [self._stack] if self._stack is not None else []
        for config, trial in members:
            try:
                seeds = Seeds(alike(config, self._problem), trial)
                opened = [(lane, self.open(lane)) for lane in seeds.lanes]
            except HpoError as error:  # a checkpoint that is damaged, or of another config
                self._pack.fail(trial, error)
                continue
            joined.append(seeds)
            for lane, own in opened:
                if own is not None:
                    stacks.append(pile([own]))
                    self._lanes.append(lane)
        self._stack = join(stacks) if stacks else None
        self.trials += joined
        self._report([trial for trial in joined if trial.epoch > 0 and trial.is_even])

    def epoch(self) -> None:
        """Every trial trains for an epoch, reports, and leaves if that was its last one."""
        at_work = {lane for trial in self.trials for lane in trial.behind}
        sizes: dict[int, list[int]] = {}
        for k, lane in enumerate(self._lanes):
            sizes.setdefault(lane.batch_size if lane in at_work else WAITS, []).append(k)
        assert self._stack is not None
        stacks, lanes = [], []
        for size, group in sizes.items():
            own = [self._lanes[k] for k in group]
            stack = self._stack if len(sizes) == 1 else self._stack.select(group)
            if size != WAITS:
                stack = self._pass(own, stack, size)
            # What comes back may be overwritten by the next pass.
            stacks.append(stack if len(sizes) == 1 else stack.copy())
            lanes += own
        self._lanes, self._stack = lanes, join(stacks)
        self._save([lane for trial in self.trials if trial.is_due() for lane in trial.training])
        self._report([trial for trial in self.trials if trial.is_even])

    def open(self, lane: Lane) -> Stack | None:
        """A lane's tensors, without the axis of lanes; `None` if it has ended before."""
        config, problem = lane.problem.config, lane.problem
        values = tensors(config, self._like)
        progress = lane.resume()
        if lane.result is not None:
            return None
        if progress is None:
            return self._program.start(problem.initial_params(lane.seed), values)
        assert progress.kept is not None
        kept = progress.kept
        return Stack(progress.params, progress.state, kept.params, kept.state, values)

    def _pass(self, lanes: Sequence[Lane], stack: Stack, batch_size: int) -> Stack:
        """An epoch of lanes that have one batch size."""
        stack = self._before_epoch(lanes, stack)
        t, rates, keys = (
            torch.stack(column).to(self._like.device)
            for column in zip(*(lane.steps for lane in lanes), strict=True)
        )
        seeds, done = [lane.seed for lane in lanes], [lane.epoch for lane in lanes]
        rows = self._problem.epoch_rows
        order = orders(seeds, done, self._rows)[:, :rows]
        if self._problem.config.ensemble == "bagging":
            order = bootstraps(seeds, self._rows).gather(1, order)
        epoch = Epoch(order, t.to(self._like.dtype), rates.to(self._like.dtype), keys, batch_size)
        stack, losses = self._passes.epoch(stack, epoch)
        shown = self._passes.evaluate(stack, epoch, CHUNK * batch_size)
        # The one place where the host waits for the device: once an epoch, not once a step.
        reached = [{"train_loss": loss / rows} for loss in losses.tolist()]
        if shown.totals is not None:
            validated = len(self._problem.splits.validation)
            for metrics, own in zip(reached, shown.totals.tolist(), strict=True):
                scores = as_metrics(self._problem, own, validated)
                metrics |= {f"val_{name}": value for name, value in scores.items()}
        keep = [lane.reached(metrics) for lane, metrics in zip(lanes, reached, strict=True)]
        kept = torch.tensor(keep, device=shown.params.device)
        return stack._replace(
            kept=_where(kept, shown.params, stack.kept),
            kept_state={
                name: _where(kept, shown.state[name], old) for name, old in stack.kept_state.items()
            },
        )

    def _before_epoch(self, lanes: Sequence[Lane], stack: Stack) -> Stack:
        """What is done to single lanes between two of their epochs."""
        if not any(self._program.acts_before(lane.epoch) for lane in lanes):
            return stack
        own = [stack.lane(k) for k in range(len(lanes))]
        return pile(
            [
                self._program.before_epoch(one, lane.seed, lane.epoch)
                for lane, one in zip(lanes, own, strict=True)
            ]
        )

    def _report(self, trials: Sequence[Seeds]) -> None:
        """Hands in where trials stand; those that are to end leave the stack."""
        if not trials:
            return
        decisions = self._pack.report(
            [
                Progressed(trial.trial, trial.metrics | self._together(trial), trial.epoch)
                for trial in trials
            ]
        )
        told = list(zip(trials, decisions, strict=True))
        ended = [trial for trial, decision in told if decision is not Decision.GO_ON]
        paused = [trial for trial, decision in told if decision is Decision.PAUSE]
        self._save([lane for trial in paused for lane in trial.lanes if lane in self._lanes])
        stopped = [lane for trial in ended for lane in trial.lanes]
        told_of = [lane for trial in trials for lane in trial.training]
        over = [lane for lane in told_of if lane.is_over and lane not in stopped]
        for lane, own in self._own(over):
            lane.finish(own)
        self._keep([k for k in self._lanes if k not in over and k not in stopped])
        for trial, decision in told:
            if decision is not Decision.GO_ON:
                self._end(trial, None)
            elif trial.result is not None:
                self._end(trial, trial.result | self._together(trial))

    def _together(self, trial: Seeds) -> dict[str, float]:
        """What a trial's lanes come to as an ensemble."""
        if not trial.ensemble or self._validation is None:
            return {}
        members = [self._member(lane) for lane in trial.lanes]
        scores = evaluate_together(self._problem, members, self._validation)
        return {f"val_{name}": value for name, value in scores.items()}

    def _member(self, lane: Lane) -> tuple[torch.Tensor, ModelState]:
        """The weights of a lane, [P], and its model's state: as it stands, or as it leaves them."""
        if lane.result is not None:
            return lane.files.model()
        assert self._stack is not None
        stack = self._stack.select([self._lanes.index(lane)])
        own = stack.lane(0)
        if lane.is_over:
            return own.kept, own.kept_state
        return self._program.shown(stack.params, stack.state, stack.values)[0], own.state["model"]

    def _end(self, trial: Seeds, result: Mapping[str, float] | None) -> None:
        self.trials.remove(trial)
        if result is not None and trial.ensemble:
            trial.leave_together()
        self._pack.end(trial.trial, result)

    def _keep(self, lanes: Sequence[Lane]) -> None:
        """Takes all others off the stack."""
        if len(lanes) == len(self._lanes):
            return
        assert self._stack is not None
        left = [k for k, lane in enumerate(self._lanes) if lane in lanes]
        self._lanes = [self._lanes[k] for k in left]
        self._stack = self._stack.select(left) if left else None

    def _save(self, lanes: Sequence[Lane]) -> None:
        for lane, own in self._own(lanes):
            lane.save(own)

    def _own(self, lanes: Sequence[Lane]) -> Iterator[tuple[Lane, Stack]]:
        """Lanes with their own tensors, on the CPU, all brought there at once."""
        if not lanes:
            return
        assert self._stack is not None
        index = {lane: k for k, lane in enumerate(self._lanes)}
        here = self._stack.select([index[lane] for lane in lanes]).to("cpu")
        for k, lane in enumerate(lanes):
            yield lane, here.lane(k)


def _where(lanes: torch.Tensor, new: torch.Tensor, old: torch.Tensor) -> torch.Tensor:
    """The new values of some lanes, bool [K], and the old ones of the others; [K, ...]."""
    return torch.where(lanes.view(-1, *[1] * (new.dim() - 1)), new, old)
