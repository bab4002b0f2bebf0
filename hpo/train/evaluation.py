"""Loss and score of parameters on a split."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpo.lazy import lazy
from hpo.train.problem import Problem, Rows
from hpo.train.task import SCORES

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

# At a time: activations of more need not fit into memory.
ROWS = 4096
POSITIONS = 16384


def evaluate(problem: Problem, params: torch.Tensor, rows: Rows) -> dict[str, float]:
    """The loss without training noise, and the score.

    Args:
        params: [P].

    Returns:
        `loss`; and `error`, the share of wrong classes or next characters, or `rmse` in the
        target's own units, of a reconstruction in those of scaled inputs.
    """
    loss_part, task = problem.config.loss, problem.splits.task
    assert loss_part is not None
    scored = slice(problem.splits.num_scored)
    unit = torch.as_tensor(problem.splits.scale_targets.scale[scored], device=problem.device)
    named = problem.layout.split(params)
    losses, misses = [], []
    model = problem.config.model
    size = min(ROWS, max(1, POSITIONS // model.positions(problem.splits.inputs)))
    targets = rows.y.shape[1] if task == "next_character" else 1  # in a row
    with torch.no_grad():
        for x, y in zip(torch.split(rows.x, size), torch.split(rows.y, size), strict=True):
            outputs = model.apply(named, x, lambda h, site: h)
            if SCORES[task] == "rmse":
                outputs, y = outputs[:, scored], y[:, scored]
            losses.append(loss_part.evaluation(outputs, y).double() * len(x))
            if SCORES[task] == "error":
                misses.append((outputs.argmax(-1) != y).sum().double() / targets)
            else:
                misses.append(((outputs - y) * unit).square().mean().double() * len(x))
        totals = torch.stack([torch.stack(losses).sum(), torch.stack(misses).sum()])
        loss, miss = (totals / len(rows.x)).tolist()
    return {"loss": loss, SCORES[task]: miss if SCORES[task] == "error" else miss**0.5}
