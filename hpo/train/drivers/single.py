"""Runs one trial: read `run` first."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from hpo.lazy import lazy
from hpo.records import Decision
from hpo.train.config import TrainConfig
from hpo.train.drivers.seeds import combined, seeds_of
from hpo.train.ensemble import evaluate_together
from hpo.train.epochs import Epochs
from hpo.train.evaluation import evaluate
from hpo.train.lanes import bind, tensors
from hpo.train.noise import step_keys
from hpo.train.normalizations import ModelState
from hpo.train.order import orders
from hpo.train.precision import arithmetic
from hpo.train.problem import Problem, assemble
from hpo.train.progress import Kept, Progress, TrialFiles
from hpo.train.statistics import measured
from hpo.train.step import Batch, Knobs, Step
from hpo.train.timetable import Timetable
from hpo.trainable import Trial, TrialStopped

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


def run(config: TrainConfig, trial: Trial) -> dict[str, float]:
    """Trains one trial from where its checkpoint stands, reporting after every epoch.

    A trial that died goes on from where it was last saved, and reports that epoch and those after
    it again: reporting a step twice does no harm, losing one would.

    Returns:
        `train_loss`, `val_loss` and the scores of the kept weights, the `best_epoch` they are from,
        and how many `epochs` were run. A refit has no rows left to validate on: of
        the metrics it reports and returns `train_loss` alone.
    """
    problem = assemble(config, trial.folder, trial.refit)
    files = TrialFiles(trial.checkpoint_dir, problem, trial.seed)
    if finished := files.finished():
        epoch, metrics, result = finished
        trial.report(metrics, step=epoch)
        return result

    with arithmetic(config.precision):
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
            try:
                trial.report(progress.metrics, step=progress.epoch)
            except TrialStopped as stopped:
                if stopped.decision is Decision.PAUSE:
                    files.save(progress)
                raise
        files.finish(progress)
        return progress.result()


def test(config: TrainConfig, trial: Trial) -> dict[str, float]:
    """`test_loss` and the scores on the test split of the weights that a trial has left.

    Of several seeds the means, with standard errors; and of an ensemble what it comes to.
    """
    problem = assemble(config, trial.folder, trial.refit)
    rows = problem.rows(problem.splits.test())
    members = [
        TrialFiles(folder, problem, seed).model()
        for seed, folder in seeds_of(problem.config, trial)
    ]
    with arithmetic(config.precision):
        metrics = combined([evaluate(problem, *member, rows) for member in members])
        if config.ensemble != "off":
            metrics |= evaluate_together(problem, members, rows)
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
        self._timetable = Timetable.of(config, problem.epoch_rows)
        self._epochs = Epochs(problem, self._timetable)

        like = problem.like
        self._step = Step(config, problem.layout, like, value_and_grad)
        self._knobs = Knobs.of(bind(config, tensors(config, like)))

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
        """Whether no epoch is left to run."""
        return self._epochs.are_over(progress.epoch, progress.kept.epoch if progress.kept else 0)

    def epoch(self, progress: Progress) -> Progress:
        """One pass over the training split, and what it led to."""
        losses = []
        params, state = self._step.before_epoch(
            progress.params,
            progress.state,
            self._knobs,
            self._seed,
            progress.epoch,
            self._problem.config.epochs,
        )
        sizes = []
        for batch in self._batches(progress.epoch):
            params, state, metrics = self._step(params, state, batch, self._knobs)
            losses.append(metrics["loss"])
            sizes.append(len(batch.x))
        weights = torch.tensor(sizes, dtype=torch.float64)
        # The one place where the host waits for the device: once an epoch, not once a step.
        train_loss = float(torch.stack(losses).double().cpu() @ weights / weights.sum())

        shown = self._step.eval_params(params, state, self._knobs)
        model_state = self._model_state(shown, state["model"], progress.epoch)
        reached = {"train_loss": train_loss}
        if self._problem.refit is None:
            validation = evaluate(self._problem, shown, model_state, self._validation)
            reached |= {f"val_{name}": value for name, value in validation.items()}
        epoch = progress.epoch + 1
        kept = progress.kept
        if kept is None or self._epochs.keeps(epoch, reached, kept.epoch, kept.metrics):
            kept = Kept(shown, model_state, epoch, reached)
        return Progress(epoch, params, state, reached, kept)

    def _model_state(self, shown: torch.Tensor, state: ModelState, epoch: int) -> ModelState:
        """What belongs to the parameters shown of what the model keeps."""
        if not self._step.evaluates_others:
            return state
        model, params = self._problem.config.model, self._problem.layout.split(shown)
        batches = torch.split(self._order(epoch), self._timetable.batch_sizes[epoch])
        return measured(
            state,
            batches,
            lambda index: model.statistics(params, state, self._train.take(index)[0]),
        )

    def _order(self, epoch: int) -> torch.Tensor:
        rows = torch.arange(len(self._train), device=self._train.device)
        order: torch.Tensor = orders([self._seed], [epoch], rows)[0]
        return order[: self._problem.epoch_rows]

    def _batches(self, epoch: int) -> Iterator[Batch]:
        train, size = self._train, self._timetable.batch_sizes[epoch]
        steps = self._timetable.steps(epoch)
        numbers = zip(
            self._t[steps].unbind(),
            self._rates[steps].unbind(),
            self._keys[steps].unbind(),
            strict=True,
        )
        for batch, of_step in zip(train.batches(size, self._order(epoch)), numbers, strict=True):
            yield Batch(*batch, *of_step)
