"""Models. To add one: copy a neighbour, and add it to the union."""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import Field

from hpo.train.models.autoencoder import Autoencoder
from hpo.train.models.base import ModelPart, NormalizedModel
from hpo.train.models.cnn import Cnn
from hpo.train.models.custom import Custom
from hpo.train.models.diagonal import Diagonal
from hpo.train.models.mlp import Mlp
from hpo.train.models.multitask import Multitask
from hpo.train.models.recurrent import Gru, Lstm
from hpo.train.models.resnet import ResNet
from hpo.train.models.transformer import Transformer
from hpo.train.task import Task

__all__ = [
    "Autoencoder",
    "Cnn",
    "Custom",
    "Diagonal",
    "Gru",
    "Lstm",
    "Mlp",
    "Model",
    "ModelPart",
    "Multitask",
    "NormalizedModel",
    "ResNet",
    "Transformer",
    "kinds_for",
]

Model = Annotated[
    Mlp | Cnn | ResNet | Gru | Lstm | Transformer | Diagonal | Autoencoder | Multitask | Custom,
    Field(discriminator="kind"),
]


def kinds_for(task: Task) -> list[str]:
    """The kinds of models that can learn a task."""
    union, _ = get_args(Model)
    return [part.model_fields["kind"].default for part in get_args(union) if task in part.tasks]
