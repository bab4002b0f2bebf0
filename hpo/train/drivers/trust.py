"""Whether a model can train in lanes, found by training two of them beside each alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hpo.errors import first_line
from hpo.lazy import lazy
from hpo.train.config import TrainConfig
from hpo.train.drivers.single import value_and_grad
from hpo.train.drivers.stack import Program, pile
from hpo.train.lanes import bind, tensors
from hpo.train.noise import step_keys
from hpo.train.problem import Problem, assemble
from hpo.train.step import Batch, Knobs, Step

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

STEPS, RATE = 3, 0.01
TOLERANCE = 1e-8
"""In float64, of what is changed by some steps."""


def why_alone(config: TrainConfig, folder: Path) -> str:
    """Why trials of this config do not train together; empty if they do."""
    if config.model.trusted:
        return ""
    problem = replace(assemble(config, folder), dtype=torch.float64)
    try:
        difference = _difference(problem)
    except Exception as error:  # whatever the model raises, alone it did not raise it
        return f"torch.func.vmap cannot batch the model: {first_line(error)}"
    if not difference <= TOLERANCE:
        return f"lanes of the model differ from it alone, by {difference:.1g} after {STEPS} steps"
    return ""


def _difference(problem: Problem) -> float:
    """The largest, over the parameters of two lanes, relative to how far they went."""
    like = problem.like
    values = tensors(problem.config, like)
    train, size = problem.rows(problem.splits.train), problem.config.batch_lr.batch_size
    rows = torch.arange(2 * STEPS * size, device=problem.device) % len(train)
    index = rows.view(STEPS, 2, size)
    keys = step_keys(0, torch.arange(2)).to(problem.device)
    lr, t = like.new_full((2,), RATE), like.new_zeros(2)

    program = Program(problem)
    starts = [program.start(problem.initial_params(seed), values) for seed in range(2)]
    stack = pile(starts)
    for step in range(STEPS):
        batch = Batch(*train.take(index[step]), t, lr, keys)
        params, state, _ = program.step(stack.params, stack.state, batch, stack.values)
        stack = stack._replace(params=params, state=state)

    alone = Step(problem.config, problem.layout, like, value_and_grad)
    parts = Knobs.of(bind(problem.config, values))
    worst = 0.0
    for lane, start in enumerate(starts):
        params, state = start.params, start.state
        for step in range(STEPS):
            own = index[step, lane]
            batch = Batch(*train.take(own), t[lane], lr[lane], keys[lane])
            params, state, _ = alone(params, state, batch, parts)
        went = (params - start.params).abs().max()
        worst = max(worst, float((stack.params[lane] - params).abs().max() / went))
    return worst
