"""Loss and score of parameters on a split."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpo.lazy import lazy
from hpo.train.layout import Named
from hpo.train.problem import Problem, Rows
from hpo.train.task import SCORES

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

CHUNK = 4096  # rows at a time: activations of more need not fit into memory


def evaluate(problem: Problem, params: torch.Tensor, state: Named, rows: Rows) -> dict[str, float]:
    """The loss without training noise, and the score.

    Args:
        params: [P].
        state: the model's.

    Returns:
        `loss`; and `error`, the share of wrong classes, or `rmse` in the target's own units.
    """
    loss, miss = measure(problem, params, state, rows).tolist()
    task = problem.splits.task
    return {"loss": loss, SCORES[task]: miss if task == "classification" else miss**0.5}


def measure(problem: Problem, params: torch.Tensor, state: Named, rows: Rows) -> torch.Tensor:
    """Means over all rows: the loss, and wrong classes or squared errors; float64 [2].

    A pure function of tensors, which `torch.func.vmap` can map over the parameters and states of
    many trials.
    """
    loss_part, task = problem.config.loss, problem.splits.task
    assert loss_part is not None
    unit = torch.as_tensor(problem.splits.scale_targets.scale, device=problem.device)
    named = problem.layout.split(params)
    losses, misses = [], []
    with torch.no_grad():
        for x, y in zip(torch.split(rows.x, CHUNK), torch.split(rows.y, CHUNK), strict=True):
            outputs, _ = problem.config.model.apply(
                named, state, x, lambda h, site: h, training=False
            )
            losses.append(loss_part.evaluation(outputs, y).double() * len(x))
            if task == "classification":
                misses.append((outputs.argmax(1) != y).sum().double())
            else:
                misses.append(((outputs - y) * unit).square().mean().double() * len(x))
        totals = torch.stack([torch.stack(losses).sum(), torch.stack(misses).sum()])
        return totals / len(rows.x)
