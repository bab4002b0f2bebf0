"""When a trial is done, and which of its weights it keeps."""

from __future__ import annotations

from collections.abc import Mapping

from hpo.train.problem import Problem


def done(problem: Problem, epoch: int, kept_epoch: int) -> bool:
    """Whether all epochs are run, or early stopping says enough.

    Args:
        epoch: epochs run.
        kept_epoch: that the kept weights are from.
    """
    if problem.refit is not None:
        return epoch >= problem.refit
    stopping = problem.config.early_stopping
    if stopping and epoch > 0 and epoch - kept_epoch >= stopping.patience:
        return True
    return epoch >= problem.config.epochs


def keeps(problem: Problem, new: Mapping[str, float], kept: Mapping[str, float] | None) -> bool:
    """Whether the weights of this epoch take the place of those kept so far, by their metrics."""
    stopping = problem.config.early_stopping
    if stopping is None or kept is None or problem.refit is not None:
        return True
    return stopping.better(new["val_loss"], kept["val_loss"])
