"""Loss and score of parameters on a split."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hpo.lazy import lazy
from hpo.train.layout import Named
from hpo.train.models.base import as_it_is
from hpo.train.problem import Problem
from hpo.train.rows import Rows
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
    with torch.no_grad():
        totals = [totals_of(problem, params, state, x, y) for x, y in chunks(problem, rows)]
    return as_metrics(problem, torch.stack(totals).sum(0).tolist(), len(rows))


def chunks(problem: Problem, rows: Rows) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """So many rows at a time as one net has memory for."""
    size = min(ROWS, max(1, POSITIONS // problem.config.model.positions(problem.splits.inputs)))
    return rows.batches(size)


def outputs_of(
    problem: Problem, params: torch.Tensor, state: Named, x: torch.Tensor
) -> torch.Tensor:
    """What a net makes of inputs [B, ...] when it is evaluated, [B, D] or [B, L, D]."""
    named, model = problem.layout.split(params), problem.config.model
    return model.apply(named, state, x, as_it_is, training=False)[0]


def wrong(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """How many rows have the wrong class, float64 []; a row of a text has one at each position."""
    return (outputs.argmax(-1) != y).sum().double() / y[0].numel()


def errors_of(problem: Problem, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Outputs [..., D] less targets, of those that are scored, in the target's own units."""
    scored = slice(problem.splits.num_scored)
    return (outputs[..., scored] - y[..., scored]) * problem.target_unit[scored]


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
    outputs = outputs_of(problem, params, state, x)
    if problem.splits.targets:
        missed = _missed_by_each(problem, outputs, y)
    elif problem.splits.scores == ("error",):
        missed = [wrong(outputs, y)]
    else:
        missed = [errors_of(problem, outputs, y).square().mean().double() * len(x)]
        scored = slice(problem.splits.num_scored)
        outputs, y = outputs[:, scored], y[:, scored]
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
