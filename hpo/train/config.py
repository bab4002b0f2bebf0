"""The config of the built-in trainer. Importing it loads neither torch nor NumPy."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, ValidationError, model_validator

from hpo.train.augmentations import Augmentation
from hpo.train.batch_lr import BatchLr
from hpo.train.data import Data
from hpo.train.early_stopping import EarlyStopping
from hpo.train.initializers import Initializer, Kaiming
from hpo.train.losses import Loss
from hpo.train.models import Custom, Model
from hpo.train.models.recurrent import Recurrent
from hpo.train.optimizers import Optimizer, OptimizerPart, Sgd
from hpo.train.precision import Precision
from hpo.train.protocols import Protocol
from hpo.train.regularizers import Clipping, Dropout, Regularization, Regularizer
from hpo.train.schedules import Cosine, Schedule, Stage, Warmup
from hpo.train.settings import Settings
from hpo.train.task import Task


class TrainConfig(Settings):
    """All that one trial of the built-in trainer is made of; only data and model have no default.

    Example:
        >>> config = TrainConfig.model_validate(
        ...     {"data": {"kind": "sklearn", "name": "digits"}, "model": {"kind": "mlp"}}
        ... )
        >>> config.derived()
        {'learning_rate': 0.025}
    """

    data: Data = Field(description="what to learn from")
    model: Model = Field(description="what learns")
    epochs: int = Field(20, ge=1, le=10**6, description="passes over the training split")
    batch_lr: BatchLr = Field(default_factory=BatchLr, description="batch size and learning rate")
    optimizer: Optimizer = Field(default_factory=Sgd, description="from gradients to steps")
    schedule: Schedule = Field(
        default_factory=Cosine, description="learning rate after the warmup, step by step"
    )
    warmup: Warmup = Field(default_factory=Warmup, description="rise of the learning rate")
    regularization: Regularization = Field(
        default_factory=Regularization, description="penalties and constraints on the weights"
    )
    dropout: Dropout = Field(default_factory=Dropout, description="noise on activations")
    augmentation: Augmentation = Field(
        default_factory=Augmentation, description="random changes of the training batches"
    )
    protocol: Protocol = Field(
        default_factory=Protocol, description="what is done to weights and gradients as it trains"
    )
    initialization: Initializer = Field(default_factory=Kaiming, description="first weights")
    loss: Loss | None = Field(
        None,
        description="default: cross_entropy for classes and characters, mse for numbers, multitask "
        "for several targets of different kinds",
    )
    clipping: Clipping = Field(default_factory=Clipping, description="bounds on the gradient")
    early_stopping: EarlyStopping | None = Field(
        None, description="stop when val_loss stalls and keep the best weights; null: never"
    )
    refit_for: Literal["steps", "epochs"] = Field(
        "steps",
        description="what a refit on training and validation rows together has as many of as the"
        " runs before it",
    )
    repeats: int = Field(
        1,
        ge=1,
        le=1024,
        description="seeds that a trial is trained with, together; of several it reports means, and"
        " standard errors beside them",
    )
    ensemble: Literal["off", "average", "bagging"] = Field(
        "off",
        description="the mean prediction of all repeats as a model of its own: average; bagging: of"
        " repeats that see rows of their own, drawn with replacement",
    )
    precision: Precision = Field(
        "float32",
        description="of all arithmetic; tf32 and bf16: of matrix products and convolutions alone,"
        " on a GPU, beside float32",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="where to train; auto: a GPU where there is one"
    )
    cuda_graphs: bool = Field(
        False, description="whether packs on a GPU launch a whole step at once, as a CUDA graph"
    )
    compile: bool = Field(
        False, description="whether packs have their step compiled, which takes a minute or more"
    )
    checkpoint_seconds: float = Field(
        10.0, ge=0, description="least time between checkpoints; 0: after every epoch"
    )

    @model_validator(mode="after")
    def _couplings_hold(self) -> Self:
        self._check_batches()
        self._check_betas()
        self._check_decay()
        self._check_units()
        self._check_sites()
        self._check_cycles()
        self._check_ensemble()
        self.protocol.check_epochs(self.epochs)
        self.stages()
        return self

    def _check_batches(self) -> None:
        rows = self.batch_lr.batch_size
        if rows < 2 and self.model.mixes_rows():
            raise ValueError(
                "normalization batch needs batches of at least 2 rows, got batch_lr.batch_size "
                f"{rows}; take larger batches (8 to 16 or more), or normalization layer"
            )

    def _check_betas(self) -> None:
        if not self.batch_lr.scale_betas:
            return
        scaled = self._scaled()
        if not scaled:
            raise ValueError(
                f"batch_lr.scale_betas is for Adam-type optimizers, got {self.optimizer.kind}; "
                "set optimizer.kind: adam, adamw or rmsprop, or leave scale_betas out"
            )
        try:
            type(self.optimizer).model_validate(self.optimizer.model_dump() | scaled)
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0])
            raise ValueError(
                f"batch_lr.scale_betas makes optimizer.{name} {scaled[name]:.6g} at "
                f"{self.batch_lr.kappa:g} times the base batch size, "
                f"{first['msg'].replace('Input', 'it', 1)}; take a batch size nearer to "
                f"base_batch_size, or another optimizer.{name}"
            ) from None

    def _check_decay(self) -> None:
        decay, rate = self.regularization.weight_decay, self.batch_lr.learning_rate
        if decay is None or decay.per_step(rate) < 1:
            return
        raise ValueError(
            "learning rate times weight decay must be below 1, or a step turns every weight over, "
            f"got {decay.per_step(rate):.6g} at learning rate {rate:.6g} with "
            f"regularization.weight_decay.strength {decay.strength:g} ({decay.decay_rule}); "
            "lower one of them"
        )

    def _check_units(self) -> None:
        """Only z-scores have their standard deviation for a unit."""
        if self.data.scaling == "zscore" or self.data.known_task() == "next_character":
            return  # whatever their unit, characters take no augmentation
        for name, part in self.augmentation.parts().items():
            if part.counts_in_deviations():
                raise ValueError(
                    f"augmentation.{name} counts in standard deviations of the inputs, which needs "
                    f"data.scaling zscore, got {self.data.scaling}; change the scaling, or leave "
                    "the augmentation out"
                )

    def _check_sites(self) -> None:
        if self.dropout.hidden > 0 and isinstance(self.model, Custom) and not self.model.hidden:
            raise ValueError(
                "dropout.hidden needs hidden activations to act on, got "
                f"{self.dropout.hidden:g} and model.hidden []; name modules of the model there, or "
                "set dropout.hidden to 0"
            )
        recurrent = self.regularization.variational_dropout
        if recurrent and recurrent.active() and not isinstance(self.model, Recurrent):
            raise ValueError(
                "regularization.variational_dropout is for recurrent nets, got model.kind "
                f"{self.model.kind}; use model.kind: gru or lstm, or leave it out: there is dropout"
            )
        depth = self.regularization.stochastic_depth
        if depth and depth.active() and not self.model.branches():
            raise ValueError(
                "regularization.stochastic_depth drops branches beside a bypass, and model.kind "
                f"{self.model.kind} has none; use model.kind: resnet or transformer, or leave it "
                "out"
            )

    def _check_cycles(self) -> None:
        stopping = self.early_stopping
        if stopping and stopping.at == "cycle_end" and not self.schedule.cycle_ends(self.epochs):
            raise ValueError(
                "early_stopping.at cycle_end needs a schedule with cycles, got "
                f"{self.schedule.kind}; set schedule.kind: warm_restarts or triangular, or "
                "early_stopping.at: epoch"
            )

    def _check_ensemble(self) -> None:
        if self.ensemble != "off" and self.repeats < 2:
            raise ValueError(
                f"ensemble {self.ensemble} needs several members, got repeats {self.repeats}; set "
                "repeats to 2 or more (5 to 10 is usual), or ensemble: off"
            )

    def _scaled(self) -> dict[str, float]:
        """The optimizer's settings that follow the batch size."""
        return self.optimizer.scaled(self.batch_lr.kappa) if self.batch_lr.scale_betas else {}

    def scaled_optimizer(self) -> OptimizerPart:
        """The optimizer with the settings it runs with; `optimizer` has those at the base batch."""
        return self.optimizer.model_copy(update=self._scaled())

    def stages(self) -> list[Stage]:
        """The batch sizes of all epochs; see `SchedulePart.stages`."""
        return self.schedule.stages(self.batch_lr.batch_size, self.epochs)

    def derived(self) -> dict[str, float]:
        """What follows from the settings and is worth seeing beside them.

        `learning_rate`, at its peak; `beta1`, `beta2` and `eps` where they follow the batch size;
        `weight_decay`, the coefficient, where its product with the learning rate is set;
        `final_batch_size` where the batch grows.
        """
        rate = self.batch_lr.learning_rate
        derived = {"learning_rate": rate, **self._scaled()}
        decay = self.regularization.weight_decay
        if decay is not None and decay.decay_rule == "product":
            derived["weight_decay"] = decay.as_coefficient(rate).strength
        stages = self.stages()
        if len(stages) > 1:
            derived["final_batch_size"] = stages[-1].batch_size
        return derived

    def task(self) -> Task | None:
        """What the targets are, if that is known without reading the data."""
        known = self.data.known_task()
        return known or (self.loss.task if self.loss else None)

    def regularizers(self) -> dict[str, Regularizer]:
        """All regularizers present, by path, in the order in which hooks call them.

        Augmentations come first, on whole inputs; clipping comes last, since it bounds the gradient
        with all that was added to it. Protocols see weights as penalties and bounds leave them.
        """
        changes = {f"augmentation.{name}": p for name, p in self.augmentation.parts().items()}
        parts = self.regularization.parts(self.batch_lr.learning_rate)
        penalties = {f"regularization.{name}": part for name, part in parts.items()}
        protocols = {f"protocol.{name}": part for name, part in self.protocol.parts().items()}
        last = {"clipping": self.clipping}
        return {**changes, "dropout": self.dropout, **penalties, **protocols, **last}
