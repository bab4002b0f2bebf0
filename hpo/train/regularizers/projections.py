"""Projections through which CoMHE sees the units of a layer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.regularizers.base import Context, PartState
from hpo.train.regularizers.mhe import mhe_energy
from hpo.train.regularizers.rows import directions, product
from hpo.train.settings import Settings

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

DECAY = 1e-3
"""Of an angle-preserving projection: weight of half its squared norm."""


def angle_gap(projection: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """How far projected cosines are from the rows' own: |cos(W P^T) - cos(W)|_F, [].

    Args:
        projection: [k, d].
        weight: [n, d].
    """
    projected, unit = directions(product(weight, projection.T))[0], directions(weight)[0]
    gap = product(projected, projected.T) - product(unit, unit.T)
    # Without the addend a gap of zero would have a slope that is not a number.
    return torch.sqrt(gap.square().sum() + 1e-12)


def crowding(projection: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """The energy of the projected rows [n, d] as points at s 2, []."""
    return mhe_energy(product(weight, projection.T), 2)


class ProjectionPart(Settings):
    """How a layer's units of d weights each are brought to fewer dimensions.

    Attributes:
        trained: whether it is kept from step to step.
    """

    trained: ClassVar[bool]

    size: int = Field(40, ge=2, le=4096, description="dimensions that it keeps; 20 to 80 are usual")

    @abstractmethod
    def seen(
        self, name: str, weights: torch.Tensor, state: PartState, context: Context
    ) -> torch.Tensor:
        """The projections of this step, [S, C, size, d], for weights [S, n, d] by name."""

    def init_state(self, weights: Mapping[str, torch.Tensor]) -> PartState:
        """What is kept, [S, size, d] for weights [S, n, d], not yet drawn."""
        if not self.trained:
            return {}
        return {
            name: own.new_zeros(len(own), self.size, own.shape[2]) for name, own in weights.items()
        }

    def step(
        self, projections: torch.Tensor, weights: torch.Tensor, lr: torch.Tensor
    ) -> torch.Tensor:
        """What is kept, [S, size, d], after a step of the weights to [S, n, d]."""
        return projections


class RandomProjection(ProjectionPart):
    """N(0, 1), drawn anew at each step, several for each layer."""

    trained: ClassVar[bool] = False

    kind: Literal["random"] = "random"
    count: int = Field(20, ge=1, le=1000, description="projections of a layer at each step")

    def seen(
        self, name: str, weights: torch.Tensor, state: PartState, context: Context
    ) -> torch.Tensor:
        blocks, _, d = weights.shape
        shape = torch.Size((blocks, self.count, self.size, d))
        return context.noise.normal(f"comhe.{name}", shape, weights.dtype)


class TrainedProjection(ProjectionPart):
    """One for each layer, N(0, 1) at first, which takes steps of its own.

    Weights see it one step ahead, with gradients through that step.
    """

    trained: ClassVar[bool] = True

    steps: int

    @abstractmethod
    def ahead(
        self, projection: torch.Tensor, weight: torch.Tensor, lr: torch.Tensor
    ) -> torch.Tensor:
        """A projection [size, d] after one step, for a weight [n, d]."""

    def decay(self, projections: torch.Tensor) -> torch.Tensor:
        """What the steps that are kept subtract beside, for a learning rate of 1."""
        return torch.zeros_like(projections)

    def seen(
        self, name: str, weights: torch.Tensor, state: PartState, context: Context
    ) -> torch.Tensor:
        return self._each(state[name], weights, context.lr).unsqueeze(1)

    def step(
        self, projections: torch.Tensor, weights: torch.Tensor, lr: torch.Tensor
    ) -> torch.Tensor:
        for _ in range(self.steps):
            moved = self._each(projections, weights, lr)
            projections = moved - lr * self.decay(projections)
        return projections

    def _each(
        self, projections: torch.Tensor, weights: torch.Tensor, lr: torch.Tensor
    ) -> torch.Tensor:
        pairs = zip(projections.unbind(), weights.unbind(), strict=True)
        return torch.stack([self.ahead(projection, weight, lr) for projection, weight in pairs])


class AnglePreserving(TrainedProjection):
    """Descends on `angle_gap` with a small decay, so that it shows the angles that there are."""

    kind: Literal["angle_preserving"] = "angle_preserving"
    size: int = Field(30, ge=2, le=4096, description="dimensions that it keeps; 20 to 80 are usual")
    steps: int = Field(1, ge=1, le=100, description="of the projection, after each of the weights")

    def ahead(
        self, projection: torch.Tensor, weight: torch.Tensor, lr: torch.Tensor
    ) -> torch.Tensor:
        slope: torch.Tensor = torch.func.grad(angle_gap)(projection, weight)
        return projection - lr * slope

    def decay(self, projections: torch.Tensor) -> torch.Tensor:
        return DECAY * projections


class Adversarial(TrainedProjection):
    """Ascends on `crowding`, so that it shows units where they are closest."""

    kind: Literal["adversarial"] = "adversarial"
    size: int = Field(30, ge=2, le=4096, description="dimensions that it keeps; 20 to 80 are usual")
    steps: int = Field(10, ge=1, le=100, description="of the projection, after each of the weights")

    def ahead(
        self, projection: torch.Tensor, weight: torch.Tensor, lr: torch.Tensor
    ) -> torch.Tensor:
        slope: torch.Tensor = torch.func.grad(crowding)(projection, weight)
        return projection + lr * slope


Projection = Annotated[
    RandomProjection | AnglePreserving | Adversarial, Field(discriminator="kind")
]
