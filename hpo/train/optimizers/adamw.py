from __future__ import annotations

from typing import ClassVar, Literal

from hpo.train.optimizers.adam import Adam


class AdamW(Adam):
    """Adam for a decay that stays out of its moments: `regularization.weight_decay`.

    The direction is Adam's.
    """

    reference: ClassVar[str] = "Loshchilov & Hutter 2019, arXiv:1711.05101"

    kind: Literal["adamw"] = "adamw"  # type: ignore[assignment]
