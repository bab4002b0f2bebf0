"""Several trained nets taken as one: the mean of what they predict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from hpo.lazy import lazy
from hpo.train.evaluation import chunks, errors_of, outputs_of, wrong
from hpo.train.layout import Named
from hpo.train.problem import Problem
from hpo.train.rows import Rows
from hpo.train.task import SCORES

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

Number = TypeVar("Number", float, "torch.Tensor")


def ensemble_error(variance: Number, covariance: Number, k: int) -> Number:
    """The mean squared error of the mean of k predictions: v / k + (k - 1) c / k.

    Args:
        variance: the mean square of a member's error, v.
        covariance: the mean product of two members' errors, c; v if all err alike, 0 if each errs
            on its own.
        k: members, at least 1.

    Reference: Breiman 1996, Bagging predictors; Goodfellow et al. 2016, section 7.11.
    """
    return variance / k + (k - 1) * covariance / k


def mean_probability(scores: torch.Tensor) -> torch.Tensor:
    """The logarithm of k members' mean probabilities, from scores before the softmax [k, ..., K].

    Scores are of no common scale, and are not averaged themselves.
    """
    return scores.log_softmax(-1).logsumexp(0) - math.log(len(scores))


def evaluate_together(
    problem: Problem, members: Sequence[tuple[torch.Tensor, Named]], rows: Rows
) -> dict[str, float]:
    """The score of the mean of several nets' predictions.

    Args:
        members: parameters [P] of each, and the model's state that belongs to them; at least two.

    Returns:
        `ensemble_error` of the mean of probabilities. Of numbers `ensemble_rmse` of their mean, and
        what it comes of: `member_variance` and `member_covariance` of the members' errors, and
        `ensemble_formula`, the root of `ensemble_error` of these two.
    """
    classes = SCORES[problem.splits.task] == "error"
    score = _classes if classes else _numbers
    with torch.no_grad():
        totals = []
        for x, y in chunks(problem, rows):
            outputs = torch.stack([outputs_of(problem, *member, x) for member in members])
            totals.append(score(problem, outputs, y))
        means = (torch.stack(totals).sum(0) / len(rows)).cpu()
    if classes:
        return {"ensemble_error": float(means)}
    return _of_numbers(means)


def _classes(problem: Problem, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """How many of some rows have the wrong class, []."""
    return wrong(mean_probability(outputs), y)


def _numbers(problem: Problem, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Sums over some rows, float64 [k + 1, k + 1]: of products of errors, means over targets; last
    are those of the mean prediction."""
    predictions = torch.cat([outputs, outputs.mean(0, keepdim=True)])
    errors = errors_of(problem, predictions, y).double()
    return torch.einsum("ibd,jbd->ij", errors, errors) / errors.shape[2]


def _of_numbers(products: torch.Tensor) -> dict[str, float]:
    """Metrics of mean products of errors [k + 1, k + 1]."""
    members, k = products[:-1, :-1], len(products) - 1
    variance = float(members.diagonal().mean())
    covariance = (float(members.mean()) * k - variance) / (k - 1)
    return {
        "ensemble_rmse": float(products[-1, -1]) ** 0.5,
        # Rounding may take a sum of what cancels below 0.
        "ensemble_formula": max(ensemble_error(variance, covariance, k), 0.0) ** 0.5,
        "member_variance": variance,
        "member_covariance": covariance,
    }
