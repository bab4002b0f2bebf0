"""The config of the built-in trainer. Importing it loads neither torch nor NumPy."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hpo.train.batch_lr import BatchLr
from hpo.train.data import Data
from hpo.train.early_stopping import EarlyStopping
from hpo.train.initializers import Initializer, Kaiming
from hpo.train.losses import Loss
from hpo.train.models import Model
from hpo.train.optimizers import Optimizer, Sgd
from hpo.train.regularizers import Clipping, Dropout, Regularization, Regularizer
from hpo.train.schedules import Cosine, Schedule, Warmup
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
    initialization: Initializer = Field(default_factory=Kaiming, description="first weights")
    loss: Loss | None = Field(
        None, description="default: cross_entropy for classes, mse for numbers"
    )
    clipping: Clipping = Field(default_factory=Clipping, description="bounds on the gradient")
    early_stopping: EarlyStopping | None = Field(
        None, description="stop when val_loss stalls and keep the best weights; null: never"
    )
    precision: Literal["float32", "float64"] = Field("float32", description="of all arithmetic")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="where to train; auto: a GPU where there is one"
    )
    checkpoint_seconds: float = Field(
        0.0, ge=0, description="least time between checkpoints; 0: after every epoch"
    )

    def derived(self) -> dict[str, float]:
        """What follows from the settings and is worth seeing beside them."""
        return {"learning_rate": self.batch_lr.learning_rate}

    def task(self) -> Task | None:
        """What the targets are, if that is known without reading the data."""
        return self.loss.task if self.loss else self.data.known_task()

    def regularizers(self) -> dict[str, Regularizer]:
        """All regularizers present, by name, in the order in which hooks call them.

        Clipping comes last, since it bounds the gradient with all that was added to it.
        """
        return {
            "dropout": self.dropout,
            **self.regularization.parts(),
            "clipping": self.clipping,
        }
