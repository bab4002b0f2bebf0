"""Models. To add one: copy a neighbour, and add it to the union."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hpo.train.models.base import ModelPart
from hpo.train.models.cnn import Cnn
from hpo.train.models.mlp import Mlp

__all__ = ["Cnn", "Mlp", "Model", "ModelPart"]

Model = Annotated[Mlp | Cnn, Field(discriminator="kind")]
