from __future__ import annotations

from typing import ClassVar, Literal

from hpo.train.normalizations.base import NormalizationPart


class NoNormalization(NormalizationPart):
    """Layers as they are, each with a bias."""

    reference: ClassVar[str] = "Zhang et al. 2019, arXiv:1901.09321, for how far that goes"

    kind: Literal["none"] = "none"
