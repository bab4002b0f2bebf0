"""What a loss is to training and to evaluation."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Self

from hpo.train.settings import Settings
from hpo.train.task import Target, Task

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

    def bound(self, targets: tuple[Target, ...]) -> Self:
        """The loss of several targets that may be of different kinds; none where they are alike.

        Raises:
            InputError: a setting does not fit them.
        """
        return self

    @abstractmethod
    def training(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The mean loss of a batch as training minimises it, [].

        Args:
            outputs: of the model, [B, D], or [B, L, D] for windows of a text.
            targets: classes, int64 [B] or [B, L], or their probabilities [B, D] where rows are
                mixtures; or numbers [B, D]; or those of a `Target` after those of another [B, D].
        """

    @abstractmethod
    def evaluation(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The mean loss without what is there for training alone, [].

        Args: as for `training`.
        """
