from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from hpo.lazy import lazy
from hpo.train.regularizers.base import Context, Gradient, Objective, Regularizer
from hpo.train.settings import PerLane

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

FLOOR = 0.01
"""Of the sizes that an adaptive ascent is relative to: a weight of 0 would be held there."""


def ascent(
    grads: torch.Tensor, radius: torch.Tensor | float, sizes: torch.Tensor | None = None
) -> torch.Tensor:
    """The step to where, to first order, the loss is worst within a radius.

    radius * T^2 g / |T g|, with T = 1, or the sizes given: then the ball is |e / T| <= radius.
    Without a gradient there is no step.

    Args:
        grads: [P].
        sizes: of the parameters, above 0, [P].

    Reference: Foret et al. 2021, arXiv:2010.01412, equation 2; with sizes Kwon et al. 2021,
        arXiv:2102.11600, equation 6.
    """
    scaled = grads if sizes is None else grads * sizes
    norm = torch.linalg.vector_norm(scaled)
    step: torch.Tensor = radius * scaled / norm.clamp(min=torch.finfo(norm.dtype).tiny)
    return step if sizes is None else step * sizes


class Sam(Regularizer):
    """Steps along the gradient at the worst point nearby, so that flat minima are found.

    An epoch costs two. The loss that is reported and the statistics that batch normalization runs
    are those at the weights themselves, as in the authors' code. Adaptive, the radius is relative
    to each weight's size; biases and gains count as 1.
    """

    reference: ClassVar[str] = (
        "Foret et al. 2021, arXiv:2010.01412; adaptive: Kwon et al. 2021, arXiv:2102.11600"
    )

    radius: Annotated[float, PerLane(neutral=0.0)] = Field(
        0.05, ge=0, le=10, description="how far off gradients are taken; 0: at the weights"
    )
    adaptive: bool = Field(
        False, description="whether the radius is relative to each weight; ten times as large then"
    )

    def wrap_gradient(self, gradient: Gradient, context: Context) -> Gradient:
        def sharp(objective: Objective, params: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            loss, grads = gradient(objective, params)
            sizes = None
            if self.adaptive:
                sizes = torch.where(context.weights > 0, params.abs() + FLOOR, 1.0)
            _, grads = gradient(objective, params + ascent(grads, self.radius, sizes))
            return loss, grads

        return sharp
