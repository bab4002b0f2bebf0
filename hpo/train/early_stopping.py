from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from pydantic import Field

from hpo.errors import InputError
from hpo.lazy import lazy
from hpo.train.settings import Settings

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


class StoppingWindow(NamedTuple):
    """When training may stop for an error to be small; steps are counted from 1.

    Args:
        first, last: steps at which the error is at most the threshold; `None` if it never is.
        length: steps from the first to the last of them, both counted.
        minimum: the smallest error.
        best: the step that has it.
        truncated: whether the curve ends within the window, which might be longer.
    """

    first: int | None
    last: int | None
    length: int
    minimum: float
    best: int
    truncated: bool


def early_stopping_window(
    errors: Sequence[float] | torch.Tensor, threshold: float
) -> StoppingWindow:
    """The first and the last step after which an error is at most `threshold`, and its minimum.

    In between it may be above for a while. What is not a number is above any threshold. It looks at
    values, and returns plain numbers.

    Args:
        errors: after each step, the first one's first, [T].

    Raises:
        InputError: there are none.

    Reference: Li et al. 2021, arXiv:2108.05574 (early stopping windows).
    """
    curve = torch.as_tensor(errors, dtype=torch.float64)
    if curve.dim() != 1 or not len(curve):
        raise InputError(
            f"an error curve has one number for each step, got shape {tuple(curve.shape)}",
            "give errors [T], T at least 1",
        )
    curve = torch.where(curve.isnan(), torch.inf, curve)
    best = int(curve.argmin())
    below = (curve <= threshold).nonzero().flatten().tolist()
    if not below:
        return StoppingWindow(None, None, 0, float(curve[best]), best + 1, False)
    first, last = below[0] + 1, below[-1] + 1
    length = last - first + 1
    return StoppingWindow(first, last, length, float(curve[best]), best + 1, last == len(curve))


class EarlyStopping(Settings):
    """Ends training when the validation loss no longer falls, and keeps the best epoch's weights.

    An epoch is better only if val_loss < best - min_delta: a tie is not, and NaN never is. Within a
    cycle of the learning rate the loss rises and falls with the rate: `at: cycle_end` compares, and
    counts, those epochs alone with which a cycle ends. A refit (`final.refit`) trains for the time
    that was needed, on validation rows as well; `refit_for` says what is the same time.
    """

    reference: ClassVar[str] = (
        "Prechelt 1998, Early stopping - but when?; cycle ends: Loshchilov & Hutter 2017, "
        "arXiv:1608.03983"
    )

    at: Literal["epoch", "cycle_end"] = Field(
        "epoch", description="which epochs count: all, or the last of each cycle of the schedule"
    )
    patience: int = Field(
        5, ge=1, description="epochs that count without a better one after which to stop"
    )
    min_delta: float = Field(0.0, ge=0, description="by how much val_loss must fall to count")

    def better(self, val_loss: float, best: float) -> bool:
        return val_loss < best - self.min_delta or (isnan(best) and not isnan(val_loss))
