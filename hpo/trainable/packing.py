"""Which trials train together."""

from __future__ import annotations

from hpo.records import Json
from hpo.space import typed
from hpo.trainable.contract import Trainable


def fusion_key(trainable: Trainable, config: Json, refit: int | None = None) -> str | None:
    """What a trial must have in common with others to train with them; `None`: it trains alone.

    A config of which the trainable cannot tell trains alone, too: then it will say why.

    Args:
        config: as the record has it.
        refit: see `Trial.refit`.
    """
    if refit is not None:
        return None
    try:
        return trainable.fusion_key(typed(trainable.config_type, dict(config)))
    except Exception:
        return None
