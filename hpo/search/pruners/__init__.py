"""Which trials end early. Each pruner: its settings, and how it is made."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hpo.search.pruners.asha import Asha
from hpo.search.pruners.hyperband import Hyperband
from hpo.search.pruners.none import NoPruner
from hpo.search.pruners.patient import Patient
from hpo.search.pruners.percentile import Median, Percentile
from hpo.search.pruners.threshold import Threshold
from hpo.search.pruners.wilcoxon import Wilcoxon

__all__ = [
    "Asha",
    "Hyperband",
    "Median",
    "NoPruner",
    "Patient",
    "Percentile",
    "PrunerSettings",
    "Threshold",
    "Wilcoxon",
]

PrunerSettings = Annotated[
    NoPruner | Asha | Hyperband | Median | Percentile | Threshold | Wilcoxon | Patient,
    Field(discriminator="kind"),
]
