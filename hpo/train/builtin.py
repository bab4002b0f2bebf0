"""The built-in trainer as a trainable. Importing it loads neither torch nor NumPy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from hpo.errors import InputError
from hpo.records import Json
from hpo.train.config import TrainConfig
from hpo.train.lanes import fusion_key
from hpo.train.task import reported_metrics
from hpo.trainable import Moved, Pack, Scale, Trainable, Trial

if TYPE_CHECKING:
    import numpy as np
    import torch


class BuiltinTrainer(Trainable):
    """Supervised training of a small network; see `hpo.train.config.TrainConfig`."""

    config_type = TrainConfig
    refits = True

    def metrics(self, config: TrainConfig) -> frozenset[str] | None:
        task = config.task()
        return reported_metrics(task, config.repeats, config.ensemble != "off") if task else None

    def derived(self, config: Json) -> Mapping[str, float]:
        return TrainConfig.model_validate(config).derived()

    def steps(self, config: TrainConfig) -> int:
        return config.epochs

    def check(self, config: TrainConfig, folder: Path) -> None:
        from hpo.train.problem import assemble

        problem = assemble(config, folder)
        # Not part of assembling: a trained model is tested without the file it started from.
        config.initialization.check(problem.config.model, problem.layout, folder)

    def run(self, config: TrainConfig, trial: Trial) -> Mapping[str, float]:
        if config.repeats > 1:
            from hpo.train.drivers.fused import run_repeats

            return run_repeats(config, trial)
        from hpo.train.drivers.single import run

        return run(config, trial)

    def fusion_key(self, config: TrainConfig) -> str:
        return fusion_key(config)

    def why_alone(self, config: TrainConfig, folder: Path) -> str:
        from hpo.train.drivers.trust import why_alone

        return why_alone(config, folder)

    def room(self, config: TrainConfig, folder: Path, share: float) -> int:
        from hpo.train.drivers.capacity import room

        return room(config, folder, share)

    def fewest(self, config: TrainConfig) -> int:
        from hpo.train.drivers.capacity import fewest

        return fewest(config)

    def run_many(self, pack: Pack) -> None:
        from hpo.train.drivers.fused import run_many

        run_many(pack)

    def test(self, config: TrainConfig, trial: Trial) -> Mapping[str, float]:
        from hpo.train.drivers.single import test

        return test(config, trial)

    def fingerprint(self, config: TrainConfig, folder: Path) -> Mapping[str, str]:
        from hpo.train.data import fingerprint

        return fingerprint(config.data, folder)

    def weights(self, config: TrainConfig, trial: Trial) -> Path | None:
        if config.ensemble == "off":
            return super().weights(config, trial)
        from hpo.train.progress import ENSEMBLE

        path = trial.checkpoint_dir / ENSEMBLE
        return path if path.is_file() else None

    def model(self, config: TrainConfig, weights: Path, folder: Path) -> torch.nn.Module:
        from hpo.train.trained import trained

        return trained(config, weights, folder)

    def example(self, config: TrainConfig, weights: Path, folder: Path) -> np.ndarray:
        from hpo.train.trained import example

        return example(weights)

    def rescale(self, config: Json, to: Scale) -> Moved:
        """The config with another batch size or another number of epochs.

        All else that is written in it stays: the learning rate, and the betas with `scale_betas`,
        follow from their values at the base batch size; of `decay_rule: product` the product stays
        and the coefficient follows the learning rate; a growing batch grows from the new size to
        the same `max_batch_size`; warmup and schedules are shares of all steps.

        Raises:
            InputError: not a config of this trainer, or not one for this scale.
        """
        found = TrainConfig.model_validate(config)
        if to.workers < 1:
            raise InputError(f"workers must be at least 1, got {to.workers}")
        rows = to.batch_size
        if rows is None:
            rows = found.batch_lr.batch_size * to.workers
        coupling = {**config.get("batch_lr", {}), "batch_size": rows}
        moved = {**config, "batch_lr": coupling}
        if to.epochs is not None:
            moved["epochs"] = to.epochs
        there = _validated(moved, rows)
        if rows % to.workers:
            raise InputError(
                f"batch size {rows} cannot be shared by {to.workers} workers",
                "give a multiple of the number of workers: it counts the rows of all together",
            )
        return Moved(moved, tuple(_assumptions(found, there, to.workers)))


def _validated(moved: Json, rows: int) -> TrainConfig:
    try:
        return TrainConfig.model_validate(moved)
    except ValidationError as error:
        (first, *_) = error.errors()
    if first["type"] == "value_error":  # a combination, told with its own remedy
        why, _, remedy = str(first["ctx"]["error"]).rpartition("; ")
        raise InputError(f"batch size {rows}: {why}", remedy)
    path = ".".join(map(str, first["loc"]))
    raise InputError(f"{path}: {first['msg']}, got {first['input']!r}", "give a number it allows")


def _assumptions(found: TrainConfig, moved: TrainConfig, workers: int) -> Iterator[str]:
    """What must hold for a moved config to be as good as it was where it was found."""
    if workers > 1:
        rows = moved.batch_lr.batch_size // workers
        yield f"each of {workers} workers takes {rows} rows of every step, and gradients are means"
        if found.model.mixes_rows():
            yield "batch norm's means and variances are those of all workers' rows together"
    if moved.batch_lr.batch_size != found.batch_lr.batch_size:
        yield moved.batch_lr.assumption
    if moved.epochs != found.epochs:
        yield "warmup and schedule are shares of all steps: they stretch with the epochs"
        if moved.early_stopping is not None:
            unit = "epochs" if moved.early_stopping.at == "epoch" else "cycles"
            yield f"early_stopping.patience stays {moved.early_stopping.patience} {unit}"


trainer = BuiltinTrainer()
