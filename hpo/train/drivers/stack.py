"""The tensors of K trials, one on top of the other, and the step mapped over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from hpo.lazy import lazy
from hpo.train.drivers.compiled import Compiled
from hpo.train.evaluation import totals_of
from hpo.train.lanes import bind
from hpo.train.normalizations import ModelState
from hpo.train.problem import Problem
from hpo.train.regularizers.base import State
from hpo.train.step import Batch, Knobs, Step

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

CHUNK = 4
"""Rows of an evaluation at a time, in batches of training, which take several times the memory."""

Values = dict[str, "torch.Tensor"]  # per-lane values by dotted path


class Stack(NamedTuple):
    """What training has made of K trials.

    Args:
        params: [K, P].
        state: of the optimizer and the regularizers, each tensor [K, ...].
        kept: the weights that each trial would leave now, [K, P].
        kept_state: the model's state that belongs to them.
        values: the trials' per-lane values, each [K].
    """

    params: torch.Tensor
    state: State
    kept: torch.Tensor
    kept_state: ModelState
    values: Values

    def select(self, lanes: Sequence[int]) -> Stack:
        """Some of the lanes, in the order given."""
        index = torch.tensor(lanes, device=self.params.device)
        return _each(lambda tensors: tensors[0][index], [self])

    def lane(self, k: int) -> Stack:
        """One trial, without the axis of lanes."""
        return _each(lambda tensors: tensors[0][k], [self])

    def to(self, device: str) -> Stack:
        return _each(lambda tensors: tensors[0].to(device), [self])

    def copy(self) -> Stack:
        return _each(lambda tensors: tensors[0].clone(), [self])

    def trained(self) -> list[torch.Tensor]:
        """What a step reads or writes, in one order for all stacks of a fusion key.

        The order of names is no such order: in a file they are sorted.
        """
        state = [own[name] for _, own in sorted(self.state.items()) for name in sorted(own)]
        return [self.params, *state, *(self.values[path] for path in sorted(self.values))]


def pile(trials: Sequence[Stack]) -> Stack:
    """Trials without the axis of lanes, on top of each other."""
    return _each(torch.stack, trials)


def join(stacks: Sequence[Stack]) -> Stack:
    """All lanes of several stacks."""
    return stacks[0] if len(stacks) == 1 else _each(torch.cat, stacks)


def _each(function: Callable[[list[torch.Tensor]], torch.Tensor], stacks: Sequence[Stack]) -> Stack:
    first = stacks[0]
    return Stack(
        function([s.params for s in stacks]),
        {
            part: {name: function([s.state[part][name] for s in stacks]) for name in own}
            for part, own in first.state.items()
        },
        function([s.kept for s in stacks]),
        {name: function([s.kept_state[name] for s in stacks]) for name in first.kept_state},
        {path: function([s.values[path] for s in stacks]) for path in first.values},
    )


@dataclass(frozen=True, slots=True)
class Epoch:
    """What is known of one epoch of K trials before it begins.

    Args:
        order: of the rows, int64 [K, N].
        t: steps done before each step, float [K, S].
        rates: learning rates, [K, S].
        keys: of the noise, int32 [K, S].
        batch_size: rows of a step; the last may have fewer.
    """

    order: torch.Tensor
    t: torch.Tensor
    rates: torch.Tensor
    keys: torch.Tensor
    batch_size: int

    def by_step(self) -> list[torch.Tensor]:
        """The tables that have a column for each step."""
        return [self.t, self.rates, self.keys]

    def copy(self) -> Epoch:
        t, rates, keys = (table.clone() for table in self.by_step())
        return Epoch(self.order.clone(), t, rates, keys, self.batch_size)


def overwrite(old: Sequence[torch.Tensor], new: Sequence[torch.Tensor]) -> None:
    """Copies values from tensors into others that stay where they are."""
    for there, here in zip(old, new, strict=True):
        if there is not here:
            there.copy_(here)


def grad_and_value(
    objective: Callable[[torch.Tensor], tuple[torch.Tensor, ModelState]], params: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, ModelState]:
    """An objective's value [], its gradient [P] and the state, in a way that can be mapped."""
    grads, (value, state) = torch.func.grad_and_value(objective, has_aux=True)(params)
    return value, grads, state


class Program:
    """What all configs of one fusion key have in common, mapped over any number of trials.

    Args:
        problem: of any of the trials.
    """

    def __init__(self, problem: Problem) -> None:
        like = problem.like
        self._config = problem.config
        self._layout = problem.layout
        self._single = Step(problem.config, problem.layout, like, grad_and_value)
        self._totals = partial(totals_of, problem)
        step = torch.func.vmap(self._step)
        self.step = Compiled(step) if problem.config.compile else step
        self.shown = torch.func.vmap(self._shown)
        self.evaluates_others = self._single.evaluates_others
        self.statistics = torch.func.vmap(self._statistics)
        self.totals = torch.func.vmap(self._totals, in_dims=(0, 0, None, None))

    def start(self, params: torch.Tensor, values: Values) -> Stack:
        """A trial before its first step, without the axis of lanes.

        Args:
            params: its first parameters, [P].
            values: its per-lane values, each [].
        """
        state = self._single.init_state(params, self._knobs(values))
        return Stack(params, state, params, state["model"], values)

    def acts_before(self, epoch: int) -> bool:
        """Whether `before_epoch` changes anything when so many epochs are done."""
        return self._single.acts_before(epoch, self._config.epochs)

    def before_epoch(self, own: Stack, seed: int, epoch: int) -> Stack:
        """A trial before one of its epochs, without the axis of lanes."""
        knobs, epochs = self._knobs(own.values), self._config.epochs
        params, state = self._single.before_epoch(own.params, own.state, knobs, seed, epoch, epochs)
        return own._replace(params=params, state=state)

    def _step(
        self, params: torch.Tensor, state: State, batch: Batch, values: Values
    ) -> tuple[torch.Tensor, State, torch.Tensor]:
        params, state, metrics = self._single(params, state, batch, self._knobs(values))
        return params, state, metrics["loss"]

    def _shown(self, params: torch.Tensor, state: State, values: Values) -> torch.Tensor:
        return self._single.eval_params(params, state, self._knobs(values))

    def _statistics(self, params: torch.Tensor, state: ModelState, x: torch.Tensor) -> ModelState:
        return self._config.model.statistics(self._layout.split(params), state, x)

    def _knobs(self, values: Values) -> Knobs:
        return Knobs.of(bind(self._config, values))
