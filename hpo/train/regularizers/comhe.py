from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.layout import Layout
from hpo.train.regularizers.base import Context, Moment, PartState, State
from hpo.train.regularizers.mhe import Energy, mhe_energy
from hpo.train.regularizers.projections import Projection, RandomProjection
from hpo.train.regularizers.rows import as_rows, product

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

NAME = "regularization.comhe"
"""Of the part's state among those of all parts."""


def comhe_energy(
    weight: torch.Tensor, projections: torch.Tensor, s: float = 2, half_space: bool = True
) -> torch.Tensor:
    """The mean energy of rows seen through projections: E = mean over c of mhe(P_c w_1 .. P_c w_n).

    In many dimensions all directions are nearly orthogonal, and forces vanish; in few they do not,
    and projections keep angles up to sqrt(log n / k).

    Args:
        weight: [n, d] or OIHW.
        projections: [C, k, d], or one, [k, d]; their scale has no effect.
        s, half_space: see `mhe_energy`.

    Returns:
        []; gradients flow to the projections as well.

    Reference: Lin et al. 2020, Regularizing neural networks via minimizing hyperspherical energy,
    arXiv:1906.04892.
    """
    rows = as_rows(weight)
    projected = product(rows, projections.reshape(-1, *projections.shape[-2:]).mT)
    return torch.func.vmap(lambda points: mhe_energy(points, s, half_space))(projected).mean()


class Comhe(Energy):
    """Compressive MHE: hidden units repel each other as they look in a few dimensions.

    Layers whose units have no more weights than a projection keeps are compared as they are, like
    the output layer, which is in full space. A projection that is trained stands outside the
    optimizer. Its step follows that of the weights, at the same learning rate.
    """

    reference: ClassVar[str] = "Lin et al. 2020, CoMHE, arXiv:1906.04892"

    half_space: bool = Field(
        True, description="whether a hidden unit repels others' opposites, too"
    )
    projection: Projection = Field(
        default_factory=RandomProjection, description="what hidden layers are seen through"
    )

    def energies(self, name: str, weights: torch.Tensor, context: Context) -> torch.Tensor:
        if weights.shape[2] <= self.projection.size:
            own = [mhe_energy(weight, self.s, self.half_space) for weight in weights.unbind()]
        else:
            state = context.state.get(NAME, {})
            seen = self.projection.seen(name, weights, state, context)
            pairs = zip(weights.unbind(), seen.unbind(), strict=True)
            own = [comhe_energy(w, p, self.s, self.half_space) for w, p in pairs]
        return torch.stack(own)

    def output_energy(self, weight: torch.Tensor) -> torch.Tensor:
        return mhe_energy(weight, self.s)

    def init_state(self, params: torch.Tensor, layout: Layout) -> PartState:
        return self.projection.init_state(self._compressed(params, layout))

    def acts_before(self, epoch: int, epochs: int) -> bool:
        return epoch == 0 and self.projection.trained

    def before_epoch(
        self, params: torch.Tensor, state: State, moment: Moment
    ) -> tuple[torch.Tensor, State]:
        """Draws what `init_state` had no randomness for."""
        drawn = {
            name: torch.randn(own.shape, generator=moment.generator, dtype=torch.float64).to(own)
            for name, own in state[NAME].items()
        }
        return params, {**state, NAME: drawn}

    def after_step(
        self, params: torch.Tensor, state: PartState, context: Context
    ) -> tuple[torch.Tensor, PartState]:
        if not self.projection.trained:
            return params, state
        weights = self._compressed(params, context.layout)
        return params, {
            name: self.projection.step(own, weights[name], context.lr)
            for name, own in state.items()
        }

    def _compressed(self, params: torch.Tensor, layout: Layout) -> dict[str, torch.Tensor]:
        """Weights [S, n, d] of the layers that are projected, by name."""
        named = layout.split(params)
        hidden = [name for name in self.names(layout) if not layout.in_head(name)]
        weights = {name: layout.matrices(name, named[name]) for name in hidden}
        return {name: own for name, own in weights.items() if own.shape[2] > self.projection.size}
