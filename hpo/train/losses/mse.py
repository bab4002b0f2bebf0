from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from hpo.errors import InputError
from hpo.lazy import lazy
from hpo.train.losses.base import LossPart
from hpo.train.settings import PerLane
from hpo.train.task import Task

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
else:
    F = lazy("torch.nn.functional")


class Mse(LossPart):
    """Mean squared error, in units of the training targets' variance.

    Of D targets, training minimises (L_1 + auxiliary * (L_2 + ... + L_D)) / D, the first one being
    what it is all for; evaluation counts them alike.
    """

    reference: ClassVar[str] = "Legendre 1805; Gauss 1809; auxiliary targets: Caruana 1997"
    task: ClassVar[Task] = "regression"

    kind: Literal["mse"] = "mse"
    auxiliary: Annotated[float, PerLane(neutral=1.0)] = Field(
        1.0, ge=0, le=100, description="weight of each target but the first, in training"
    )

    def check(self, outputs: int) -> None:
        if self.in_play("auxiliary") and outputs == 1:
            raise InputError(
                f"loss.auxiliary is for several targets, got {self.auxiliary:g} with one",
                "leave it out, or give the data more targets",
            )

    def training(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if not self.in_play("auxiliary"):
            return self.evaluation(outputs, targets)
        first, others = (outputs - targets).square().mean(0).tensor_split((1,))
        return (first.sum() + self.auxiliary * others.sum()) / outputs.shape[1]

    def evaluation(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return F.mse_loss(outputs, targets)
