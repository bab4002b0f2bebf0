"""How many trials train together on a device: what fits, and what pays."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo.lazy import lazy
from hpo.train.config import TrainConfig
from hpo.train.drivers.stack import CHUNK, Program, pile
from hpo.train.lanes import tensors
from hpo.train.noise import step_keys
from hpo.train.precision import arithmetic
from hpo.train.problem import Problem, assemble, device_of
from hpo.train.step import Batch

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

MARGIN = 0.8
"""Share of the free memory that lanes may take."""

MOST = {"cpu": 32, "cuda": 512}
"""Lanes beyond which each costs no less."""

FEWEST = {"cpu": 6, "cuda": 1}
"""Lanes from which on each costs less than a trial alone. On a CPU a step of a small MLP takes as
long per lane with 4 or 5 as alone, longer with fewer, and five sixths with 6: `benchmarks/fused.py
--lanes 1 4 5 6`. On a GPU launches cost most, and are shared from the second lane on."""


def room(config: TrainConfig, folder: Path, share: float) -> int:
    """How many trials of this config's fusion key fit here, at least 1.

    Found by training one and two lanes for a step.

    Args:
        share: of the device that is this worker's, in (0, 1].
    """
    problem = assemble(config, folder)
    with arithmetic(config.precision):
        one, two = (lane_bytes(problem, lanes) for lanes in (1, 2))
    free = MARGIN * _free(problem.device.type, share)
    lanes = min(MOST[problem.device.type], int(free // max(two - one, 1)))
    return max(1, lanes // config.repeats)


def fewest(config: TrainConfig) -> int:
    """How many trials of this config's fusion key are to train together if any are.

    One with several seeds trains in lanes also when it is alone.
    """
    return FEWEST[device_of(config).type] if config.repeats == 1 else 1


def lane_bytes(problem: Problem, lanes: int) -> int:
    """Memory that a training step and an evaluation of so many lanes take at most."""
    program = Program(problem)
    like = problem.like
    values = tensors(problem.config, like)
    train, size = problem.rows(problem.splits.train), problem.config.stages()[-1].batch_size
    index = torch.arange(min(size, len(train)), device=problem.device).expand(lanes, -1)
    zeros = like.new_zeros(lanes)
    keys = step_keys(0, torch.arange(lanes)).to(problem.device)

    def work() -> None:
        stack = pile([program.start(problem.initial_params(0), values)] * lanes)
        batch = Batch(*train.take(index), zeros, zeros, keys)
        params, state, _ = program.step(stack.params, stack.state, batch, stack.values)
        shown = program.shown(params, state, stack.values)
        with torch.no_grad():
            rows = next(train.batches(CHUNK * size))
            program.totals(shown, state["model"], *rows)

    return (_peak if problem.device.type == "cuda" else _allocated)(work)


def _peak(work: Callable[[], None]) -> int:
    work()  # what libraries take once does not count
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    work()
    return torch.cuda.max_memory_allocated() - before


def _allocated(work: Callable[[], None]) -> int:
    """All that is allocated on a CPU, freed meanwhile or not: torch does not tell its peak."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
        total = 0

        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            found = func(*args, **(kwargs or {}))
            if all(returned.alias_info is None for returned in func._schema.returns):
                leaves = torch.utils._pytree.tree_leaves(found)
                self.total += sum(x.nbytes for x in leaves if isinstance(x, torch.Tensor))
            return found

    counting = Counting()  # type: ignore[no-untyped-call]
    with counting:
        work()
    return int(counting.total)


def _free(device: str, share: float) -> int:
    """Bytes that a worker may take: its share of a GPU, or that of its CPUs of the memory."""
    if device == "cuda":
        free, total = torch.cuda.mem_get_info()
        cached = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        return int(min(free + cached, share * total - torch.cuda.memory_allocated()))
    pages = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return pages * torch.get_num_threads() // (os.cpu_count() or 1)
