from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.initializers.base import Distribution
from hpo.train.settings import PerLane

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


class Orthogonal(Distribution):
    """gain times a uniformly drawn orthogonal matrix, (O, I * kh * kw) for a convolution.

    Rows are orthonormal if there are no more of them than columns, else columns are.
    """

    reference: ClassVar[str] = "Saxe et al. 2014, arXiv:1312.6120"

    kind: Literal["orthogonal"] = "orthogonal"
    gain: Annotated[float, PerLane()] = Field(
        1.0, gt=0, le=10, description="factor on the matrix; sqrt(2) is usual with ReLU"
    )

    def sample(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        draws = torch.randn(shape, generator=generator, dtype=torch.float64).flatten(1)
        tall = draws if draws.shape[0] >= draws.shape[1] else draws.T
        q, r = torch.linalg.qr(tall)
        # Without the signs of r the draw would not be uniform (Mezzadri 2007).
        q = q * torch.sign(torch.diagonal(r))
        matrix: torch.Tensor = q if tall is draws else q.T
        return matrix.reshape(shape) * self.gain
