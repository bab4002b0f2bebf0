"""The methods of the built-in trainer as plain functions of tensors, for loops of one's own.

Tensors in, tensors out; all can be differentiated by autograd and mapped by `torch.func.vmap`, but
those whose docstring says that they look at values. A weight is [n, d], a row for each unit, or
OIHW, a filter for each output channel. Formulas, ranges and references are in the docstrings.
Importing it loads neither torch nor NumPy.

Example:
    >>> loss = F.cross_entropy(net(x), y) + 0.07 * mma_loss(net.fc.weight)
"""

from __future__ import annotations

from hpo.train.early_stopping import early_stopping_window
from hpo.train.protocols.dsd import dsd_mask
from hpo.train.protocols.repr import repr_reinit, repr_scores, repr_select
from hpo.train.regularizers.l1 import soft_threshold
from hpo.train.regularizers.mma import mma_loss

__all__ = [
    "dsd_mask",
    "early_stopping_window",
    "mma_loss",
    "repr_reinit",
    "repr_scores",
    "repr_select",
    "soft_threshold",
]
