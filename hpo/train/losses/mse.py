from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from hpo.lazy import lazy
from hpo.train.losses.base import LossPart
from hpo.train.task import Task

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
else:
    F = lazy("torch.nn.functional")


class Mse(LossPart):
    """Mean squared error, in units of the training targets' variance."""

    reference: ClassVar[str] = "Legendre 1805; Gauss 1809"
    task: ClassVar[Task] = "regression"

    kind: Literal["mse"] = "mse"

    def training(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return F.mse_loss(outputs, targets)

    def evaluation(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return F.mse_loss(outputs, targets)
