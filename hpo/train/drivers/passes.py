"""Passes of K trials over their data: training for an epoch, and evaluation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple

from hpo.lazy import lazy
from hpo.train.drivers.graphs import Captured
from hpo.train.drivers.stack import Epoch, Program, Stack, overwrite
from hpo.train.normalizations import ModelState
from hpo.train.rows import Rows
from hpo.train.statistics import measured
from hpo.train.step import Batch

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


class Evaluated(NamedTuple):
    """What an epoch of K trials has led to.

    Args:
        params: those to keep, [K, P].
        state: the model's state that belongs to them.
        totals: theirs on the validation split, float64 [K, 1 + scores]; `None` without
            one.
    """

    params: torch.Tensor
    state: ModelState
    totals: torch.Tensor | None


class Passes(ABC):
    """How a program is run.

    Args:
        program: of the trials' fusion key.
        train: the training split.
        validation: `None` in a refit.
    """

    def __init__(self, program: Program, train: Rows, validation: Rows | None) -> None:
        self._program = program
        self._train = train
        self._validation = validation

    @abstractmethod
    def epoch(self, stack: Stack, epoch: Epoch) -> tuple[Stack, torch.Tensor]:
        """One pass over the training split, each trial in its own order.

        Returns:
            the lanes after it, and the sums over all rows of their training losses, float64 [K].
        """

    @abstractmethod
    def evaluate(self, stack: Stack, epoch: Epoch, chunk: int) -> Evaluated:
        """What an epoch that was just run has led to.

        Args:
            chunk: rows at a time.
        """

    def step(
        self, stack: Stack, index: torch.Tensor, *numbers: torch.Tensor
    ) -> tuple[Stack, torch.Tensor]:
        """One step.

        Args:
            index: of each trial's rows, int64 [K, B].
            numbers: the others of a `Batch`, each [K].

        Returns:
            the lanes after it, and the sums over these rows of their losses, float64 [K].
        """
        batch = Batch(*self._train.take(index), *numbers)
        params, state, loss = self._program.step(stack.params, stack.state, batch, stack.values)
        return stack._replace(params=params, state=state), loss.double() * index.shape[1]

    def evaluated(self, stack: Stack, epoch: Epoch, chunk: int) -> Evaluated:
        program = self._program
        params, state = stack.params, stack.state["model"]
        shown = program.shown(params, stack.state, stack.values)
        if program.evaluates_others:
            batches = torch.split(epoch.order, epoch.batch_size, dim=1)
            state = measured(
                state,
                batches,
                lambda index: program.statistics(shown, state, self._train.take(index)[0]),
            )
        return Evaluated(shown, state, self._totals(shown, state, chunk))

    def _totals(self, shown: torch.Tensor, state: ModelState, chunk: int) -> torch.Tensor | None:
        if self._validation is None:
            return None
        rows = self._validation.batches(chunk)
        with torch.no_grad():
            return torch.stack([self._program.totals(shown, state, x, y) for x, y in rows]).sum(0)


class Eager(Passes):
    """Step by step from Python."""

    def epoch(self, stack: Stack, epoch: Epoch) -> tuple[Stack, torch.Tensor]:
        losses = []
        for i, index in enumerate(torch.split(epoch.order, epoch.batch_size, dim=1)):
            stack, loss = self.step(stack, index, *(table[:, i] for table in epoch.by_step()))
            losses.append(loss)
        return stack, torch.stack(losses).sum(0)

    def evaluate(self, stack: Stack, epoch: Epoch, chunk: int) -> Evaluated:
        return self.evaluated(stack, epoch, chunk)


class Graphed(Passes):
    """As CUDA graphs, captured anew for every number of lanes and every batch size.

    The tensors of the lanes stay in place from step to step: a stack that comes back from `epoch`
    is overwritten by the next one.
    """

    def __init__(self, program: Program, train: Rows, validation: Rows | None) -> None:
        super().__init__(program, train, validation)
        self._recorded: _Recorded | None = None

    def epoch(self, stack: Stack, epoch: Epoch) -> tuple[Stack, torch.Tensor]:
        if self._recorded is None or not self._recorded.fits(epoch):
            self._recorded = None  # its memory first
            self._recorded = _Recorded(self, stack, epoch)
        return self._recorded.run(stack, epoch)

    def evaluate(self, stack: Stack, epoch: Epoch, chunk: int) -> Evaluated:
        assert self._recorded is not None, "an epoch comes first"
        return self._recorded.evaluate(stack, chunk)


class _Recorded:
    """The graphs of one number of lanes, and the tensors that they work on."""

    def __init__(self, passes: Graphed, stack: Stack, epoch: Epoch) -> None:
        self._passes = passes
        self._stack = stack.copy()
        self._epoch = epoch.copy()
        lanes, rows = epoch.order.shape
        self._whole, self._rest = divmod(rows, epoch.batch_size)
        self._total = torch.zeros(lanes, dtype=torch.float64, device=epoch.order.device)
        self._cursor = torch.zeros(1, dtype=torch.int64, device=epoch.order.device)
        self._steps = self._capture_step(epoch.batch_size, 0) if self._whole else None
        self._last = self._capture_step(self._rest, self._whole) if self._rest else None
        self._evaluation: Captured | None = None
        self._evaluated: Evaluated | None = None

    def fits(self, epoch: Epoch) -> bool:
        return (
            epoch.order.shape == self._epoch.order.shape
            and epoch.batch_size == self._epoch.batch_size
        )

    def run(self, stack: Stack, epoch: Epoch) -> tuple[Stack, torch.Tensor]:
        overwrite(self._stack.trained(), stack.trained())
        overwrite([self._epoch.order, *self._epoch.by_step()], [epoch.order, *epoch.by_step()])
        self._total.zero_()
        self._at(0)
        for _ in range(self._whole):
            assert self._steps is not None
            self._steps()
        if self._last is not None:
            self._last()
        return self._stack._replace(kept=stack.kept, kept_state=stack.kept_state), self._total

    def evaluate(self, stack: Stack, chunk: int) -> Evaluated:
        overwrite(self._stack.trained(), stack.trained())
        if self._evaluation is None:
            self._evaluation = Captured(lambda: self._evaluate(chunk), lambda: None)
        self._evaluation()
        assert self._evaluated is not None
        return self._evaluated

    def _capture_step(self, rows: int, first: int) -> Captured:
        """A step of so many rows.

        Args:
            first: the number of the step that it is used for first in an epoch.
        """
        within = torch.arange(rows, device=self._cursor.device)
        size = self._epoch.batch_size

        def step() -> None:
            index = self._epoch.order.index_select(1, self._cursor * size + within)
            numbers = [table.index_select(1, self._cursor)[:, 0] for table in self._epoch.by_step()]
            after, loss = self._passes.step(self._stack, index, *numbers)
            overwrite(self._stack.trained(), after.trained())
            self._total += loss
            self._cursor += 1

        return Captured(step, lambda: self._at(first))

    def _at(self, step: int) -> None:
        self._cursor.fill_(step)

    def _evaluate(self, chunk: int) -> None:
        self._evaluated = self._passes.evaluated(self._stack, self._epoch, chunk)
