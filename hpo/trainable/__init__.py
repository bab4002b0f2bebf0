"""The contract between search and training."""

from hpo.trainable.contract import FunctionTrainable, Moved, Scale, Trainable, deterministic, model
from hpo.trainable.loading import BUILTIN, load
from hpo.trainable.pack import Member, Pack, Progressed
from hpo.trainable.packing import fusion_key
from hpo.trainable.trial import Trial, TrialStopped, check_metrics, check_report

__all__ = [
    "BUILTIN",
    "FunctionTrainable",
    "Member",
    "Moved",
    "Pack",
    "Progressed",
    "Scale",
    "Trainable",
    "Trial",
    "TrialStopped",
    "check_metrics",
    "check_report",
    "deterministic",
    "fusion_key",
    "load",
    "model",
]
