from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr

from hpo.errors import InputError
from hpo.lazy import lazy
from hpo.train.losses.base import LossPart
from hpo.train.losses.cross_entropy import cross_entropy, smoothed_cross_entropy
from hpo.train.settings import PerLane
from hpo.train.task import Target, Task, split

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
else:
    F = lazy("torch.nn.functional")

Weight = Annotated[float, Field(ge=0, le=100)]


class MultitaskLoss(LossPart):
    """L_1 + a_2 L_2 + ... + a_T L_T, with a loss for each target, the main one first.

    That of classes is softmax cross-entropy, that of a number its squared error in units of the
    training rows' variance. Evaluation has the main one alone: the others are there to shape what
    all targets share, and selecting by the sum would select for them.
    """

    reference: ClassVar[str] = "Caruana 1997, Multitask learning"
    task: ClassVar[Task] = "multitask"

    kind: Literal["multitask"] = "multitask"
    auxiliary: Annotated[float, PerLane()] = Field(
        1.0, ge=0, le=100, description="weight of each target but the first, in training"
    )
    weights: Annotated[dict[str, Weight], PerLane()] = Field(
        {}, description="weights of targets by name, each >= 0 and <= 100, in place of auxiliary"
    )
    label_smoothing: Annotated[float, PerLane(neutral=0.0)] = Field(
        0.0, ge=0, lt=1, description="share of a class target that is spread over all its classes"
    )
    _targets: tuple[Target, ...] = PrivateAttr(())

    def bound(self, targets: tuple[Target, ...]) -> Self:
        auxiliary = [target.name for target in targets[1:]]
        if unknown := [name for name in self.weights if name not in auxiliary]:
            main = targets[0].name
            nearest = difflib.get_close_matches(unknown[0], auxiliary, n=1)
            raise InputError(
                f"loss.weights must name targets beside the main one, {main!r}, whose weight is 1;"
                f" got {unknown[0]!r}",
                f"did you mean {nearest[0]!r}?" if nearest else f"they are: {', '.join(auxiliary)}",
            )
        if self.label_smoothing and not any(target.classes for target in targets):
            raise InputError(
                f"loss.label_smoothing is for classes, got {self.label_smoothing:g} with numbers "
                "alone",
                "leave it out, or name the targets that are classes under data.classes",
            )
        bound = self.model_copy()
        bound._targets = targets
        return bound

    def training(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        total, *others = self._each(outputs, targets, self.in_play("label_smoothing"))
        for target, loss in zip(self._targets[1:], others, strict=True):
            total = total + self.weights.get(target.name, self.auxiliary) * loss
        return total

    def evaluation(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return next(self._each(outputs, targets, smoothed=False))

    def _each(
        self, outputs: torch.Tensor, targets: torch.Tensor, smoothed: bool
    ) -> Iterator[torch.Tensor]:
        """The mean loss of each target, []."""
        own_outputs, own_targets = (split(self._targets, of) for of in (outputs, targets))
        for target, own, true in zip(self._targets, own_outputs, own_targets, strict=True):
            if not target.classes:
                yield F.mse_loss(own, true)
            elif smoothed:
                yield smoothed_cross_entropy(own, true, self.label_smoothing)
            else:
                yield cross_entropy(F.log_softmax(own, dim=1), true)
