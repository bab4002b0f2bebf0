from __future__ import annotations

from typing import ClassVar, Literal

from hpo.train.optimizers.sgd import Sgd


class Sgdw(Sgd):
    """SGD for a decay that stays out of its velocity: `regularization.weight_decay`.

    The direction is that of SGD.
    """

    reference: ClassVar[str] = "Loshchilov & Hutter 2019, arXiv:1711.05101"

    kind: Literal["sgdw"] = "sgdw"  # type: ignore[assignment]
