"""Runs one trial: read `run` first."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from hpo.lazy import lazy
from hpo.train.config import TrainConfig
from hpo.train.evaluation import evaluate
from hpo.train.lanes import bind, knobs
from hpo.train.noise import derive, step_keys
from hpo.train.normalizations import ModelState
from hpo.train.problem import Problem, Rows, assemble
from hpo.train.progress import Kept, Progress, TrialFiles
from hpo.train.step import Batch, Knobs, Step
from hpo.train.timetable import Timetable
from hpo.trainable import Trial

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


def run(config: TrainConfig, trial: Trial) -> dict[str, float]:
    """Trains one trial from where its checkpoint stands, reporting after every epoch.

    Each epoch is saved before it is reported. A trial that died in between reports its last epoch
    again and goes on: reporting a step twice does no harm, losing one would.

    Returns:
        `train_loss`, `val_loss` and `val_error` or `val_rmse` of the kept weights, the `best_epoch`
        they are from, and how many `epochs` were run. A refit has no rows left to validate on: of
        the metrics it reports and returns `train_loss` alone.
    """
    problem = assemble(config, trial.folder, trial.refit)
    files = TrialFiles(trial.checkpoint_dir, problem, trial.seed)
    if finished := files.finished():
        epoch, metrics, result = finished
        trial.report(metrics, step=epoch)
        return result

    training = Training(problem, trial.seed)
    progress = files.resume() or training.start()
    if progress.epoch > 0:
        trial.report(progress.metrics, step=progress.epoch)
    saved = time.monotonic()
    while not training.done(progress):
        progress = training.epoch(progress)
        if time.monotonic() - saved >= config.checkpoint_seconds:
            files.save(progress)
            saved = time.monotonic()
        trial.report(progress.metrics, step=progress.epoch)
    files.finish(progress)
    return progress.result()


def test(config: TrainConfig, trial: Trial) -> dict[str, float]:
    """`test_loss` and `test_error` or `test_rmse` of the weights that a trial has left."""
    problem = assemble(config, trial.folder, trial.refit)
    params, state = TrialFiles(trial.checkpoint_dir, problem, trial.seed).model()
    metrics = evaluate(problem, params, state, problem.rows(problem.splits.test()))
    return {f"test_{name}": value for name, value in metrics.items()}


def value_and_grad(
    objective: Callable[[torch.Tensor], tuple[torch.Tensor, ModelState]], params: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, ModelState]:
    """The objective's value [], its gradient [P] by plain autograd, and the state it gives."""
    leaf = params.detach().requires_grad_()
    value, state = objective(leaf)
    (grads,) = torch.autograd.grad(value, leaf)
    return value.detach(), grads, state


class Training:
    """The epochs of one trial."""

    def __init__(self, problem: Problem, seed: int) -> None:
        config = problem.config
        self._problem = problem
        self._seed = seed
        self._train = problem.rows(problem.splits.train)
        self._validation = problem.rows(problem.splits.validation)
        self._timetable = Timetable.of(config, len(self._train.x))

        like = torch.empty(0, dtype=problem.dtype, device=problem.device)
        self._step = Step(config, problem.layout, like, value_and_grad)
        values = {path: like.new_tensor(value) for path, value in knobs(config).items()}
        self._knobs = Knobs.of(bind(config, values))

        # Everything that depends on the step number alone is tabulated once, out of the steps.
        rates = self._timetable.rates
        steps = torch.arange(len(rates))
        self._t = steps.to(like)
        self._rates = rates.to(like)
        self._keys = step_keys(seed, steps).to(problem.device)

    def start(self) -> Progress:
        """Before the first step."""
        params = self._problem.initial_params(self._seed)
        return Progress(0, params, self._step.init_state(params, self._knobs))

    def done(self, progress: Progress) -> bool:
        """Whether all epochs are run, or early stopping says enough."""
        if self._problem.refit is not None:
            return progress.epoch >= self._problem.refit
        stopping = self._problem.config.early_stopping
        if stopping and progress.kept and progress.epoch - progress.kept.epoch >= stopping.patience:
            return True
        return progress.epoch >= self._problem.config.epochs

    def epoch(self, progress: Progress) -> Progress:
        """One pass over the training split, and what it led to."""
        params, state, losses = progress.params, progress.state, []
        batches = self._batches(progress.epoch)
        for batch in batches:
            params, state, metrics = self._step(params, state, batch, self._knobs)
            losses.append(metrics["loss"])
        sizes = torch.tensor([len(batch.x) for batch in batches], dtype=torch.float64)
        # The one place where the host waits for the device: once an epoch, not once a step.
        train_loss = float(torch.stack(losses).double().cpu() @ sizes / sizes.sum())

        shown = self._step.eval_params(params, state, self._knobs)
        reached = {"train_loss": train_loss}
        if self._problem.refit is None:
            validation = evaluate(self._problem, shown, state["model"], self._validation)
            reached |= {f"val_{name}": value for name, value in validation.items()}
        epoch = progress.epoch + 1
        kept = self._keep(progress.kept, Kept(shown, state["model"], epoch, reached))
        return Progress(epoch, params, state, reached, kept)

    def _keep(self, kept: Kept | None, new: Kept) -> Kept:
        stopping = self._problem.config.early_stopping
        if stopping is None or kept is None or self._problem.refit is not None:
            return new
        return new if stopping.better(_loss(new.metrics), _loss(kept.metrics)) else kept

    def _batches(self, epoch: int) -> list[Batch]:
        train, size = self._train, self._timetable.batch_sizes[epoch]
        generator = torch.Generator().manual_seed(derive(self._seed, "order", epoch))
        order = torch.randperm(len(train.x), generator=generator).to(train.x.device)
        shuffled = Rows(train.x[order], train.y[order])
        steps = self._timetable.steps(epoch)
        return [
            Batch(*tensors)
            for tensors in zip(
                torch.split(shuffled.x, size),
                torch.split(shuffled.y, size),
                self._t[steps].unbind(),
                self._rates[steps].unbind(),
                self._keys[steps].unbind(),
                strict=True,
            )
        ]


def _loss(metrics: Mapping[str, float]) -> float:
    return metrics["val_loss"]
