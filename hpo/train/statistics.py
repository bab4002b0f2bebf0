"""Running statistics for parameters that were not trained, such as averages of trained ones.

Their activations are others than those that training has seen. As torch.optim.swa_utils.update_bn
does, the statistics are measured in a pass over the training split: means over the batches of the
last epoch, of rows as they are, without noise or augmentation. A last batch that is smaller is left
out: its variances are less sure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from hpo.lazy import lazy
from hpo.train.normalizations import ModelState

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


def measured(
    state: ModelState,
    batches: Sequence[torch.Tensor],
    statistics: Callable[[torch.Tensor], ModelState],
) -> ModelState:
    """The state with means over batches in place of the statistics that training has run.

    Args:
        state: the model's, after training.
        batches: of an epoch, each [..., B], the last one of fewer rows at times.
        statistics: those of one batch; see `ModelPart.statistics`.
    """
    if not state:
        return state
    whole = [batch for batch in batches if batch.shape == batches[0].shape]
    with torch.no_grad():
        total = statistics(whole[0])
        for batch in whole[1:]:
            more = statistics(batch)
            total = {name: value + more[name] for name, value in total.items()}
    return {**state, **{name: value / len(whole) for name, value in total.items()}}
