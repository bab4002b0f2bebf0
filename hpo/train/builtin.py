"""The built-in trainer as a trainable. Importing it loads neither torch nor NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from hpo.errors import InputError
from hpo.records import Json
from hpo.train.config import TrainConfig
from hpo.train.task import reported_metrics
from hpo.trainable import Trainable, Trial


class BuiltinTrainer(Trainable):
    """Supervised training of a small network; see `hpo.train.config.TrainConfig`."""

    config_type = TrainConfig

    def metrics(self, config: TrainConfig) -> frozenset[str] | None:
        task = config.task()
        return reported_metrics(task) if task else None

    def derived(self, config: Json) -> Mapping[str, float]:
        return TrainConfig.model_validate(config).derived()

    def steps(self, config: TrainConfig) -> int:
        return config.epochs

    def check(self, config: TrainConfig, folder: Path) -> None:
        from hpo.train.problem import assemble

        assemble(config, folder)

    def run(self, config: TrainConfig, trial: Trial) -> Mapping[str, float]:
        from hpo.train.drivers.single import run

        return run(config, trial)

    def test(self, config: TrainConfig, trial: Trial) -> Mapping[str, float]:
        from hpo.train.drivers.single import test

        return test(config, trial)

    def rescale(self, config: Json, batch_size: int) -> Json:
        """The config with another batch size.

        All else that is written in it stays: the learning rate, and the betas with `scale_betas`,
        follow from their values at the base batch size; of `decay_rule: product` the product stays
        and the coefficient follows the learning rate; a growing batch grows from the new size to
        the same `max_batch_size`.

        Raises:
            InputError: not a config of this trainer, not a batch size, or not one for this config.
        """
        moved = {**config, "batch_lr": {**config.get("batch_lr", {}), "batch_size": batch_size}}
        try:
            TrainConfig.model_validate(moved)
            return moved
        except ValidationError as error:
            (first, *_) = error.errors()
            if first["type"] == "value_error":  # a combination, told with its own remedy
                why, _, remedy = str(first["ctx"]["error"]).rpartition("; ")
                raise InputError(f"batch size {batch_size}: {why}", remedy) from None
            raise InputError(
                f"batch_lr.batch_size: {first['msg']}, got {batch_size!r}",
                "give a whole number of rows, 1 or more",
            ) from None


trainer = BuiltinTrainer()
