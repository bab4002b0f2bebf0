"""The methods of the built-in trainer as plain functions of tensors, for loops of one's own.

Tensors in, tensors out; all can be differentiated by autograd and mapped by `torch.func.vmap`, but
those whose docstring says that they look at values. A weight is [n, d], a row for each unit, or
OIHW, a filter for each output channel. Formulas, ranges and references are in the docstrings.
Importing it loads neither torch nor NumPy.

Example:
    >>> loss = F.cross_entropy(net(x), y) + 0.07 * mma_loss(net.fc.weight)
"""

from __future__ import annotations

from hpo.train.augmentations.cutmix import cutmix
from hpo.train.augmentations.mixup import mixup
from hpo.train.early_stopping import early_stopping_window
from hpo.train.ensemble import ensemble_error
from hpo.train.protocols.dsd import dsd_mask
from hpo.train.protocols.repr import repr_reinit, repr_scores, repr_select
from hpo.train.regularizers.comhe import comhe_energy
from hpo.train.regularizers.dropout import inverted_dropout
from hpo.train.regularizers.gradient_noise import gradient_noise_sd
from hpo.train.regularizers.l1 import soft_threshold
from hpo.train.regularizers.max_norm import max_norm_project
from hpo.train.regularizers.mhe import mhe_energy
from hpo.train.regularizers.mma import mma_loss
from hpo.train.regularizers.orthogonality import orthogonality_cost
from hpo.train.regularizers.orthoreg import orthoreg_cost, orthoreg_gradient
from hpo.train.regularizers.pr_product import pr_conv2d, pr_linear
from hpo.train.regularizers.stochastic_depth import depth_rates
from hpo.train.sphere import coverage_radius, minimal_angles, sphere_points

__all__ = [
    "comhe_energy",
    "coverage_radius",
    "cutmix",
    "depth_rates",
    "dsd_mask",
    "early_stopping_window",
    "ensemble_error",
    "gradient_noise_sd",
    "inverted_dropout",
    "max_norm_project",
    "mhe_energy",
    "minimal_angles",
    "mixup",
    "mma_loss",
    "orthogonality_cost",
    "orthoreg_cost",
    "orthoreg_gradient",
    "pr_conv2d",
    "pr_linear",
    "repr_reinit",
    "repr_scores",
    "repr_select",
    "soft_threshold",
    "sphere_points",
]
