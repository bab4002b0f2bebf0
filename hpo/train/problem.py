"""A config made ready to train: data, model and loss that fit one another, on a device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hpo.errors import InputError, ResourceError
from hpo.lazy import lazy
from hpo.train.config import TrainConfig
from hpo.train.data import Arrays, Splits, load
from hpo.train.initializers.base import ALL_ZERO
from hpo.train.layout import Layout
from hpo.train.losses import default_loss
from hpo.train.models import kinds_for
from hpo.train.noise import derive
from hpo.train.precision import check_precision, dtype_of
from hpo.train.rows import Rows
from hpo.train.task import LIKE

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


@dataclass(frozen=True, slots=True)
class Problem:
    """What a driver needs to know of a trial's data and model.

    Args:
        config: with its loss set.
        target_unit: what a standardised target of 1 is in the target's own units, [D].
        folder, refit: see `assemble`.
    """

    config: TrainConfig
    splits: Splits
    layout: Layout
    device: torch.device
    dtype: torch.dtype
    target_unit: torch.Tensor
    folder: Path
    refit: int | None = None

    @property
    def like(self) -> torch.Tensor:
        """An empty tensor of the device and precision to work in."""
        return torch.empty(0, dtype=self.dtype, device=self.device)

    @property
    def epoch_rows(self) -> int:
        """How many rows an epoch passes over.

        Fewer than there are in a refit that has as many steps as the runs before it: epochs,
        schedule and phases then mean in it what they meant in those.
        """
        shorter = self.refit is not None and self.config.refit_for == "steps"
        return self.splits.num_train if shorter else len(self.splits.train)

    def rows(self, arrays: Arrays) -> Rows:
        """A split for the device, numbers in the config's precision."""
        x, y = (torch.from_numpy(array) for array in (arrays.x, arrays.y))
        return Rows.placed(
            x.to(self.dtype) if x.is_floating_point() else x,
            y.to(self.dtype) if y.is_floating_point() else y,
            self.device,
        )

    def initial_params(self, seed: int) -> torch.Tensor:
        """The first parameters [P] of the trial with this seed.

        Raises:
            InputError: they are to come from a file, which does not have them; or all weights of a
                layer are 0 in the config's precision.
        """
        generator = torch.Generator().manual_seed(derive(seed, "initialization"))
        initialization, model = self.config.initialization, self.config.model
        named = initialization.initial(model, self.layout, generator, self.folder)
        for name, value in named.items():
            drawn = self.layout.is_weight(name) and model.initial(name, tuple(value.shape)) is None
            if drawn and not value.to(self.dtype).any():
                raise InputError(
                    f"initialization {initialization.kind}: {ALL_ZERO}, and in "
                    f"{self.config.precision} those of {name} are",
                    "give larger first weights, or precision: float64",
                )
        return self.layout.join(named).to(self.device, self.dtype)


def assemble(config: TrainConfig, folder: Path, refit: int | None = None) -> Problem:
    """Loads the data and fits model and loss to it.

    Args:
        folder: where relative paths count from.
        refit: epochs to train for on training and validation rows together, at most those of the
            config, whose schedule holds; `None`: all of them, on the training rows.

    Raises:
        InputError: the data cannot be used, augmentations, model, loss or batches do not fit them,
            there is no such device, or the config has not so many epochs.
    """
    if refit is not None and not 1 <= refit <= config.epochs:
        raise InputError(f"a refit takes 1 to {config.epochs} epochs, those of its config: {refit}")
    device = device_of(config)
    check_precision(config.precision, device.type)
    splits = load(config.data, folder, refit is not None)
    _check_growth(config, len(splits.train.x))
    loss = config.loss or default_loss(splits.task)
    if loss.task != LIKE[splits.task]:
        raise InputError(
            f"loss {config.loss and config.loss.kind} is for {loss.task}, the data are for "
            f"{splits.task}",
            "leave loss out to have the one that fits, or set data.task if the targets are not "
            "what they look like",
        )
    loss.check(splits.outputs)
    _check_model(config, splits)
    config = _bound(config, folder, splits)
    layout = config.model.layout(splits.inputs, splits.outputs)
    for name, part in config.regularizers().items():
        part.check(name, splits.inputs, layout)
    dtype = dtype_of(config.precision)
    # Copied to the device once: a CUDA graph of an evaluation can copy nothing there.
    unit = torch.as_tensor(splits.scale_targets.scale, device=device)
    return Problem(config, splits, layout, device, dtype, unit, folder, refit)


def alike(config: TrainConfig, problem: Problem) -> Problem:
    """The problem of another config of the same fusion key, on the same data."""
    return replace(problem, config=_bound(config, problem.folder, problem.splits))


def _bound(config: TrainConfig, folder: Path, splits: Splits) -> TrainConfig:
    """The config with its loss set, and loss and model for these data."""
    loss = config.loss or default_loss(splits.task)
    model = config.model.bound(folder, splits.inputs, splits.outputs, splits.targets)
    return config.model_copy(update={"loss": loss.bound(splits.targets), "model": model})


def _check_model(config: TrainConfig, splits: Splits) -> None:
    if splits.task not in config.model.tasks:
        raise InputError(
            f"model {config.model.kind} is for {', '.join(sorted(config.model.tasks))}, the data "
            f"are for {splits.task}",
            f"use model kind {' or '.join(kinds_for(splits.task))}",
        )
    if splits.targets and config.ensemble != "off":
        raise InputError(
            f"ensemble {config.ensemble} averages one target or numbers, the data have targets of "
            "different kinds",
            "set ensemble: off, or leave the auxiliary targets out",
        )
    if splits.task == "next_character" and config.dropout.in_play("input"):
        raise InputError(
            f"dropout.input is for numbers, got {config.dropout.input:g} with characters",
            "leave it out: dropout.hidden drops from the characters' embeddings, too",
        )


def _check_growth(config: TrainConfig, rows: int) -> None:
    """A batch that has all rows grows no more, and the learning rate would not fall instead."""
    last = config.stages()[-1].batch_size
    if config.batch_lr.batch_size < last > rows:
        raise InputError(
            f"schedule {config.schedule.kind}: batches grow to {last} rows, the training split has "
            f"{rows}",
            f"set schedule.max_batch_size to {rows} or less: from there on the learning rate falls",
        )


def device_of(config: TrainConfig) -> torch.device:
    available = torch.cuda.is_available()
    if config.device == "cuda" and not available:
        raise ResourceError(
            "device cuda needs a GPU that torch can use, there is none",
            "use device: auto or cpu, or install a torch build for this GPU",
        )
    return torch.device("cuda" if available and config.device != "cpu" else "cpu")
