from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from hpo.errors import InputError
from hpo.lazy import lazy
from hpo.train.layout import Named
from hpo.train.models.base import Activation, ModelPart, OnHidden, activation

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
else:
    F = lazy("torch.nn.functional")


class Cnn(ModelPart):
    """Stages of 3x3 convolution, activation and 2x2 max-pooling; then one dense layer."""

    reference: ClassVar[str] = "LeCun et al. 1998; 3x3 stages: Simonyan & Zisserman 2015"

    kind: Literal["cnn"] = "cnn"
    channels: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field(
        (16, 32), min_length=1, max_length=16, description="filters of each stage"
    )
    activation: Activation = Field("relu", description="after each convolution")

    def shapes(self, inputs: tuple[int, ...], outputs: int) -> dict[str, tuple[int, ...]]:
        if len(inputs) != 3:
            raise InputError(
                f"model cnn needs images (channels, height, width), got examples of shape {inputs}",
                "use model kind mlp, or give x as images: [N, height, width] or "
                "[N, channels, height, width]",
            )
        planes, height, width = inputs
        shapes: dict[str, tuple[int, ...]] = {}
        for stage, filters in enumerate(self.channels):
            height, width = height // 2, width // 2
            if height == 0 or width == 0:
                raise InputError(
                    f"model cnn halves images at each of its {len(self.channels)} stages, "
                    f"images of {inputs[1]}x{inputs[2]} pixels allow {stage}",
                    f"give at most {stage} channels",
                )
            shapes[f"stages.{stage}.weight"] = (filters, planes, 3, 3)
            shapes[f"stages.{stage}.bias"] = (filters,)
            planes = filters
        shapes["head.weight"] = (outputs, planes * height * width)
        shapes["head.bias"] = (outputs,)
        return shapes

    def apply(self, params: Named, x: torch.Tensor, on_hidden: OnHidden) -> torch.Tensor:
        nonlinearity = activation(self.activation)
        h = x
        for stage in range(len(self.channels)):
            name = f"stages.{stage}"
            h = F.conv2d(h, params[f"{name}.weight"], params[f"{name}.bias"], padding=1)
            h = on_hidden(F.max_pool2d(nonlinearity(h), 2), name)
        return F.linear(h.flatten(1), params["head.weight"], params["head.bias"])
