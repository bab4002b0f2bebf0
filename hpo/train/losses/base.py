"""What a loss is to training and to evaluation."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from hpo.train.settings import Settings
from hpo.train.task import Task

if TYPE_CHECKING:
    import torch


class LossPart(Settings):
    """What training minimises and evaluation reports.

    Attributes:
        task: the kind of targets the loss is for, and those like it (`task.LIKE`).
    """

    task: ClassVar[Task]

    def check(self, outputs: int) -> None:
        """Raises InputError if a setting means nothing for so many outputs of the model."""

    @abstractmethod
    def training(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The mean loss of a batch as training minimises it, [].

        Args:
            outputs: of the model, [B, D], or [B, L, D] for windows of a text.
            targets: classes, int64 [B] or [B, L], or their probabilities [B, D] where rows are
                mixtures; or numbers [B, D].
        """

    @abstractmethod
    def evaluation(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The mean loss without what is there for training alone, [].

        Args: as for `training`.
        """
