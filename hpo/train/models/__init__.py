"""Models. To add one: copy a neighbour, and add it to the union."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hpo.train.models.base import ModelPart
from hpo.train.models.cnn import Cnn
from hpo.train.models.custom import Custom
from hpo.train.models.mlp import Mlp
from hpo.train.models.resnet import ResNet

__all__ = ["Cnn", "Custom", "Mlp", "Model", "ModelPart", "ResNet"]

Model = Annotated[Mlp | Cnn | ResNet | Custom, Field(discriminator="kind")]
