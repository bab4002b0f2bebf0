"""Loss and score of parameters on a split."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpo.lazy import lazy
from hpo.train.layout import Named
from hpo.train.problem import Problem, Rows
from hpo.train.task import split

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

# At a time: activations of more need not fit into memory.
ROWS = 4096
POSITIONS = 16384


def evaluate(problem: Problem, params: torch.Tensor, state: Named, rows: Rows) -> dict[str, float]:
    """The loss without training noise, and the score.

    Args:
        params: [P].
        state: the model's.

    Returns:
        `loss`; and `error`, the share of wrong classes or next characters, or `rmse` in the
        target's own units, of a reconstruction in those of scaled inputs. Of several targets that
        may be of different kinds these are the first one's, and others are called `NAME_error` or
        `NAME_rmse`.
    """
    size = min(ROWS, max(1, POSITIONS // problem.config.model.positions(problem.splits.inputs)))
    with torch.no_grad():
        chunks = zip(torch.split(rows.x, size), torch.split(rows.y, size), strict=True)
        totals = torch.stack([totals_of(problem, params, state, x, y) for x, y in chunks]).sum(0)
    return as_metrics(problem, totals.tolist(), len(rows.x))


def totals_of(
    problem: Problem, params: torch.Tensor, state: Named, x: torch.Tensor, y: torch.Tensor
) -> torch.Tensor:
    """Sums over some rows: of the loss, and of shares of wrong classes or mean squared errors, in
    the order of `Splits.scores`; float64 [1 + scores].

    Args:
        params: [P].
        state: the model's.
        x, y: as in `Rows`.
    """
    loss_part = problem.config.loss
    assert loss_part is not None
    outputs, _ = problem.config.model.apply(
        problem.layout.split(params), state, x, lambda h, site: h, training=False
    )
    if problem.splits.targets:
        missed = _missed_by_each(problem, outputs, y)
    elif problem.splits.scores == ("error",):
        # A row of a text has a class at each position.
        missed = [(outputs.argmax(-1) != y).sum().double() / y[0].numel()]
    else:
        scored = slice(problem.splits.num_scored)
        outputs, y = outputs[:, scored], y[:, scored]
        errors = (outputs - y) * problem.target_unit[scored]
        missed = [errors.square().mean().double() * len(x)]
    loss = loss_part.evaluation(outputs, y).double() * len(x)
    return torch.stack([loss, *missed])


def _missed_by_each(problem: Problem, outputs: torch.Tensor, y: torch.Tensor) -> list[torch.Tensor]:
    """Of several targets, those that are scored: how many classes are wrong, or squared errors."""
    splits, unit = problem.splits, problem.target_unit
    pieces = (split(splits.targets, values) for values in (outputs, y, unit))
    missed = []
    for target, own, true, scale in zip(splits.targets, *pieces, strict=True):
        if target.classes:
            missed.append((own.argmax(1) != true.argmax(1)).sum().double())
        else:
            missed.append(((own - true) * scale).square().sum().double())
    return missed[: splits.num_scored]


def as_metrics(problem: Problem, totals: list[float], rows: int) -> dict[str, float]:
    """`loss` and the scores from their sums over so many rows."""
    loss, *missed = (total / rows for total in totals)
    scores = zip(problem.splits.scores, missed, strict=True)
    return {"loss": loss} | {
        name: share if name.endswith("error") else share**0.5 for name, share in scores
    }
